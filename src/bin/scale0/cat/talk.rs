//! Who speaks when: the run of each socket type.

use std::future::pending;

use scale0::socket::{RecvError, Refusal, SendError, Socket};
use scale0::wire::{Message, SocketType};

use tokio::task::coop::consume_budget;

use super::line::{self, Form};
use super::standard::{Input, LONGEST, Line, Output, Text};
use crate::exit::{Failed, Outcome};
use crate::output::tell;

/// One run.
#[derive(Debug)]
pub(crate) struct Talk<'a> {
    speaker: Speaker<'a>,
    listener: Listener<'a>,
    count: Option<u64>,
    /// Requests whose peer was lost.
    unanswered: u64,
}

/// From stdin to the socket.
#[derive(Debug)]
struct Speaker<'a> {
    socket: &'a Socket,
    form: Form,
    input: Input,
    /// Lines that were no messages.
    refused: u64,
}

/// From the socket to stdout.
#[derive(Debug)]
struct Listener<'a> {
    socket: &'a Socket,
    form: Form,
    output: &'a mut Output,
}

impl<'a> Talk<'a> {
    pub(crate) fn new(
        socket: &'a Socket,
        form: Form,
        count: Option<u64>,
        output: &'a mut Output,
    ) -> Self {
        Self {
            speaker: Speaker {
                socket,
                form,
                input: Input::new(),
                refused: 0,
            },
            listener: Listener {
                socket,
                form,
                output,
            },
            count,
            unanswered: 0,
        }
    }

    /// Goes on until the count is reached, or stdin has ended and there is nothing left to do.
    pub(crate) async fn run(mut self, echo: bool) -> Outcome {
        use SocketType::{Dealer, Pair, Pub, Pull, Push, Rep, Req, Router, Sub, Xpub, Xsub};
        let count = self.count;
        match self.speaker.form.kind {
            _ if echo => self.echo().await?,
            Push | Pub => _ = self.speaker.send_all(count).await?,
            Pull | Sub => self.listener.print_all(count).await?,
            Req => self.ask().await?,
            Rep => self.answer().await?,
            Dealer | Pair => self.both(count, count).await?,
            Xpub => self.both(count, None).await?,
            Router | Xsub => self.both(None, count).await?,
        }
        match (self.speaker.refused, self.unanswered) {
            (0, 0) => Ok(()),
            (1, 0) => Err(Failed::error("1 line was no message")),
            (lines, 0) => Err(Failed::error(format_args!(
                "{lines} lines were no messages"
            ))),
            (_, 1) => Err(Failed::error("1 request was not answered")),
            (_, lost) => Err(Failed::error(format_args!(
                "{lost} requests were not answered"
            ))),
        }
    }

    /// Both directions at once; ends when one of them has done as many as it is to do.
    async fn both(&mut self, send: Option<u64>, receive: Option<u64>) -> Outcome {
        let (speaker, listener) = (&mut self.speaker, &mut self.listener);
        let speak = async {
            match speaker.send_all(send).await? {
                End::Count => Ok(()),
                // There is still something to receive.
                End::Input => pending().await,
            }
        };
        tokio::select! {
            sent = speak => sent,
            received = listener.print_all(receive) => received,
        }
    }

    async fn echo(&mut self) -> Outcome {
        let mut answered = 0;
        while self.count != Some(answered) {
            let message = self.listener.print_one().await?;
            answered += u64::from(self.speaker.send(message, "an echo").await?);
        }
        Ok(())
    }

    /// REQ: a question, its answer, the next question. After the last answer nothing can come any
    /// more.
    async fn ask(&mut self) -> Outcome {
        let mut received = 0;
        while self.count != Some(received) && self.speaker.send_next().await? {
            match self.listener.receive().await {
                Ok(answer) => {
                    self.listener.print(&answer).await?;
                    received += 1;
                }
                // It may have been done or not: that is for the user to say.
                Err(RecvError::Refused(Refusal::Lost)) => {
                    let line = self.speaker.input.number();
                    tell(format_args!(
                        "scale0: line {line}: the peer is gone without an answer"
                    ));
                    self.unanswered += 1;
                }
                Err(error) => return Err(Failed::error(error)),
            }
        }
        Ok(())
    }

    /// REP: a question, its answer, the next question. The last one counted is answered, too.
    async fn answer(&mut self) -> Outcome {
        let mut received = 0;
        while self.count != Some(received) {
            self.listener.print_one().await?;
            received += 1;
            if !self.speaker.send_next().await? && self.count != Some(received) {
                tell(
                    "scale0: stdin has ended: this request is not answered, and no other received",
                );
                return pending().await;
            }
        }
        Ok(())
    }
}

/// Why sending has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Input,
    Count,
}

impl Speaker<'_> {
    /// Sends line after line.
    async fn send_all(&mut self, count: Option<u64>) -> Result<End, Failed> {
        let mut sent = 0;
        while count != Some(sent) {
            if !self.send_next().await? {
                return Ok(End::Input);
            }
            sent += 1;
        }
        Ok(End::Count)
    }

    /// Sends the next line that is a message and has a receiver. Whether there was one.
    async fn send_next(&mut self) -> Result<bool, Failed> {
        while let Some(Line { number, text }) = self.input.next().await? {
            // Lines that are at hand one after the other do not keep signals waiting.
            consume_budget().await;
            let read = match text {
                Text::Whole(bytes) => self.form.read(&bytes),
                Text::TooLong => Err(format!("a line has at most {LONGEST} bytes")),
            };
            match read {
                Err(why) => {
                    tell(format_args!("scale0: line {number}: {why}"));
                    self.refused += 1;
                }
                Ok(message) => {
                    if self.send(message, &format!("line {number}")).await? {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }

    /// Sends a message as soon as there is room for it; `false` if there is no such peer. `what`
    /// it is, for the note of that.
    async fn send(&mut self, message: Message, what: &str) -> Result<bool, Failed> {
        let by_hex = self.form.by_hex(&message);
        let id = message.first().map(line::text).unwrap_or_default();
        let mut sent = self.socket.send(message).await;
        if let (Err(SendError::Unroutable(_)), Some(message)) = (&sent, by_hex) {
            sent = self.socket.send(message).await;
        }
        match sent {
            Ok(()) => Ok(true),
            Err(SendError::Unroutable(_)) => {
                tell(format_args!(
                    "scale0: {what}: no peer has the routing id `{id}`"
                ));
                Ok(false)
            }
            Err(SendError::Refused { reason, .. }) => {
                tell(format_args!("scale0: {what}: {reason}"));
                self.refused += 1;
                Ok(false)
            }
            Err(error) => Err(Failed::error(error)),
        }
    }
}

impl Listener<'_> {
    async fn print_all(&mut self, count: Option<u64>) -> Outcome {
        let mut received = 0;
        while count != Some(received) {
            self.print_one().await?;
            received += 1;
        }
        Ok(())
    }

    /// Receives a message and prints it; no other is received before that is done.
    async fn print_one(&mut self) -> Result<Message, Failed> {
        let message = self.receive().await.map_err(Failed::error)?;
        self.print(&message).await?;
        Ok(message)
    }

    async fn receive(&mut self) -> Result<Message, RecvError> {
        consume_budget().await;
        self.socket.recv().await
    }

    async fn print(&mut self, message: &Message) -> Outcome {
        self.output.print(self.form.write(message)).await
    }
}
