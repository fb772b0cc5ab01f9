//! Lines and the messages that they are.
//!
//! As text a line is one frame, byte for byte. What arrives is printed with a tab between its
//! frames, each as text where it is printable and in hex where it is not. Two types know more:
//!
//! - a ROUTER's line is its message's frames with tabs between them, the routing id first;
//! - an XSUB's line that begins with `01` or `00` subscribes to the topic behind that, or cancels
//!   it; so XPUB prints them.
//!
//! As JSON a line is an array of frames, each a string or `{"hex":"00ff"}`, in both directions.

use scale0::wire::{Message, SocketType, hex, printable};
use serde_json::Value;

/// How the lines of one socket are read and written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    pub(crate) kind: SocketType,
    pub(crate) json: bool,
}

impl Form {
    /// The message that a line is, its end cut off; or why it is none.
    pub(crate) fn read(self, line: &[u8]) -> Result<Message, String> {
        if self.json {
            return read_json(line);
        }
        match (self.kind, line) {
            (SocketType::Router, _) if !line.contains(&b'\t') => Err(
                "a ROUTER's line is the routing id, a tab, and the message's frames with tabs \
                 between them"
                    .to_owned(),
            ),
            (SocketType::Router, _) => Ok(Message::new(line.split(|byte| *byte == b'\t'))),
            (SocketType::Xsub, [b'0', b'1', topic @ ..]) => Ok(subscription(1, topic)),
            (SocketType::Xsub, [b'0', b'0', topic @ ..]) => Ok(subscription(0, topic)),
            _ => Ok(Message::single(line)),
        }
    }

    /// The message as a line, its end included.
    pub(crate) fn write(self, message: &Message) -> Vec<u8> {
        let frames = message.parts();
        let mut line = if self.json {
            let frames: Vec<Value> = frames.map(json).collect();
            Value::from(frames).to_string()
        } else if let (SocketType::Xpub, Some([verb @ (0 | 1), topic @ ..])) =
            (self.kind, message.first())
            && message.count() == 1
        {
            format!("{verb:02x}{}", text(topic))
        } else {
            let frames: Vec<String> = frames.map(text).collect();
            frames.join("\t")
        };
        line.push('\n');
        line.into_bytes()
    }

    /// The same message to the peer whose routing id is meant by the hex that stands first, as it
    /// is printed for those that are no text. What is printable is taken as it stands before that.
    pub(crate) fn by_hex(self, message: &Message) -> Option<Message> {
        if self.json || self.kind != SocketType::Router {
            return None;
        }
        let id = unhex(message.first()?).filter(|id| !id.is_empty())?;
        let rest = message.parts().skip(1);
        Some(Message::new(std::iter::once(&id[..]).chain(rest)))
    }
}

fn subscription(verb: u8, topic: &[u8]) -> Message {
    Message::single(&[&[verb], topic].concat())
}

/// A frame as it is printed.
pub(crate) fn text(frame: &[u8]) -> String {
    printable(frame).map_or_else(|| hex(frame), str::to_owned)
}

fn json(frame: &[u8]) -> Value {
    match printable(frame) {
        Some(text) => text.into(),
        None => serde_json::json!({ "hex": hex(frame) }),
    }
}

fn read_json(line: &[u8]) -> Result<Message, String> {
    let value: Value = serde_json::from_slice(line).map_err(|error| {
        // It would count lines of its own, and this is one line of many.
        let error = error.to_string();
        let reason = error.split(" at line ").next().unwrap_or_default();
        format!("this is no JSON: {reason}")
    })?;
    let Value::Array(values) = value else {
        return Err(
            "a message is an array of frames, like [\"text\",{\"hex\":\"00ff\"}]".to_owned(),
        );
    };
    if values.is_empty() {
        return Err("a message has at least one frame".to_owned());
    }
    let mut frames = Vec::with_capacity(values.len());
    for (n, value) in values.into_iter().enumerate() {
        let frame = read_frame(value).ok_or_else(|| {
            format!(
                "frame {} is neither a string nor an object like {{\"hex\":\"00ff\"}}",
                n + 1
            )
        })?;
        frames.push(frame);
    }
    Ok(Message::new(frames))
}

fn read_frame(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.into_bytes()),
        Value::Object(object) => match (object.len(), object.get("hex")) {
            (1, Some(Value::String(digits))) => unhex(digits.as_bytes()),
            _ => None,
        },
        _ => None,
    }
}

/// The bytes that pairs of hexadecimal digits spell.
fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let octet = |pair: &[u8]| match *pair {
        [high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
        _ => None,
    };
    digits.chunks(2).map(octet).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(kind: SocketType, json: bool) -> Form {
        Form { kind, json }
    }

    fn printed(form: Form, frames: &[&[u8]]) -> String {
        String::from_utf8(form.write(&Message::new(frames))).unwrap()
    }

    const TEXT: Form = Form {
        kind: SocketType::Dealer,
        json: false,
    };
    const JSON: Form = Form {
        kind: SocketType::Dealer,
        json: true,
    };

    #[test]
    fn a_line_of_text_is_one_frame_byte_for_byte() {
        for line in [
            &b"hello"[..],
            b"",
            b"a\tb",
            b" \r",
            b"\xff\x00",
            b"[\"a\"]",
            b"01a",
        ] {
            assert_eq!(TEXT.read(line), Ok(Message::single(line)));
        }
    }

    #[test]
    fn frames_are_printed_as_text_or_in_hex_with_tabs_between() {
        let frames: [&[u8]; 6] = ["grüß".as_bytes(), b"", b"\x00\xff", b"a\tb", b"a\nb", b"00"];
        assert_eq!(printed(TEXT, &frames), "grüß\t\t00ff\t610962\t610a62\t00\n");
    }

    #[test]
    fn json_is_an_array_of_strings_and_hex_both_ways() {
        let frames: [&[u8]; 4] = [b"a \"quoted\" text", b"", b"\x00\xff", "grüß".as_bytes()];
        let line = printed(JSON, &frames);
        assert_eq!(
            line,
            "[\"a \\\"quoted\\\" text\",\"\",{\"hex\":\"00ff\"},\"grüß\"]\n"
        );
        assert_eq!(JSON.read(line.trim().as_bytes()), Ok(Message::new(frames)));
        let spaced = br#" [ {"hex":"00FF"} , "\u00fc\n", {"hex":""} ] "#;
        let frames: [&[u8]; 3] = [b"\x00\xff", "ü\n".as_bytes(), b""];
        assert_eq!(JSON.read(spaced), Ok(Message::new(frames)));
    }

    #[test]
    fn a_line_that_is_no_message_is_refused_in_a_sentence() {
        for (line, sentence) in [
            ("", "no JSON"),
            ("hello", "no JSON"),
            ("[\"a\"", "no JSON"),
            ("[\"a\"] x", "no JSON"),
            ("{\"hex\":\"00\"}", "an array of frames"),
            ("\"a\"", "an array of frames"),
            ("[]", "at least one frame"),
            ("[\"a\",1]", "frame 2 is neither"),
            ("[{\"hex\":\"0\"}]", "frame 1 is neither"),
            ("[{\"hex\":\"0g\"}]", "frame 1 is neither"),
            ("[{\"hex\":\"+1\"}]", "frame 1 is neither"),
            ("[{\"hex\":\"00\",\"a\":1}]", "frame 1 is neither"),
            ("[{\"hex\":1}]", "frame 1 is neither"),
            ("[null]", "frame 1 is neither"),
        ] {
            let error = JSON.read(line.as_bytes()).unwrap_err();
            assert!(
                error.contains(sentence) && !error.contains("line"),
                "{line}: {error}"
            );
        }
    }

    #[test]
    fn a_router_reads_what_it_prints() {
        let router = form(SocketType::Router, false);
        let automatic: [&[u8]; 3] = [b"\x00\x01\x02\x03\x04", b"", b"hello"];
        assert_eq!(printed(router, &automatic), "0001020304\t\thello\n");
        let read = router.read(b"0001020304\t\thello").unwrap();
        assert_eq!(read, Message::new(["0001020304", "", "hello"]));
        assert_eq!(router.by_hex(&read), Some(Message::new(automatic)));
        let named = router.read(b"me\thello").unwrap();
        assert_eq!(named, Message::new(["me", "hello"]));
        assert_eq!(router.by_hex(&named), None);
        assert!(router.read(b"hello").unwrap_err().contains("routing id"));
        assert_eq!(form(SocketType::Router, true).by_hex(&read), None);
    }

    #[test]
    fn subscriptions_are_01_or_00_and_the_topic() {
        let (xpub, xsub) = (form(SocketType::Xpub, false), form(SocketType::Xsub, false));
        for (frame, line) in [
            (&b"\x01news"[..], "01news"),
            (b"\x00news", "00news"),
            (b"\x01", "01"),
            (b"other", "other"),
        ] {
            assert_eq!(printed(xpub, &[frame]), format!("{line}\n"));
            assert_eq!(xsub.read(line.as_bytes()), Ok(Message::single(frame)));
        }
        assert_eq!(printed(xpub, &[b"\x01\xff"]), "01ff\n");
        assert_eq!(printed(xpub, &[b"\x01a", b"b"]), "0161\tb\n");
        let json = form(SocketType::Xpub, true);
        assert_eq!(
            printed(json, &[b"\x01news"]),
            "[{\"hex\":\"016e657773\"}]\n"
        );
        let json = form(SocketType::Xsub, true);
        assert_eq!(json.read(b"[\"01news\"]"), Ok(Message::single(b"01news")));
    }
}
