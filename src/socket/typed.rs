//! The eleven types, each with what it can do and nothing else.

use bytes::Bytes;

use super::{
    Counters, Endpoint, Error, Message, Messages, Monitor, Options, RecvError, SendError, Socket,
    SocketType, Unsent,
};

/// One type: a name, and which of the abilities below it has.
macro_rules! socket {
    ($(#[$doc:meta])* $name:ident: $($ability:ident)*) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name(Socket);

        impl $name {
            /// A socket with default options.
            #[must_use]
            pub fn new() -> Self {
                Self(Socket::new(SocketType::$name))
            }

            /// A socket with these options.
            #[must_use]
            pub fn with(options: Options) -> Self {
                Self(Socket::with(SocketType::$name, options))
            }

            /// See [`Socket::bind`].
            ///
            /// # Errors
            /// As there.
            pub async fn bind<E>(&self, endpoint: E) -> Result<Endpoint, Error>
            where
                E: TryInto<Endpoint>,
                Error: From<E::Error>,
            {
                self.0.bind(endpoint).await
            }

            /// See [`Socket::connect`].
            ///
            /// # Errors
            /// As there.
            pub fn connect<E>(&self, endpoint: E) -> Result<(), Error>
            where
                E: TryInto<Endpoint>,
                Error: From<E::Error>,
            {
                self.0.connect(endpoint)
            }

            /// See [`Socket::unbind`].
            ///
            /// # Errors
            /// As there.
            pub fn unbind(&self, endpoint: &Endpoint) -> Result<(), Error> {
                self.0.unbind(endpoint)
            }

            /// See [`Socket::disconnect`].
            ///
            /// # Errors
            /// As there.
            pub fn disconnect(&self, endpoint: &Endpoint) -> Result<(), Error> {
                self.0.disconnect(endpoint)
            }

            /// See [`Socket::endpoints`].
            #[must_use]
            pub fn endpoints(&self) -> Vec<Endpoint> {
                self.0.endpoints()
            }

            /// See [`Socket::monitor`].
            #[must_use]
            pub fn monitor(&self) -> Monitor {
                self.0.monitor()
            }

            /// See [`Socket::counters`].
            #[must_use]
            pub fn counters(&self) -> Counters {
                self.0.counters()
            }

            /// See [`Socket::configure`].
            pub fn configure(&self, change: impl FnOnce(&mut Options)) {
                self.0.configure(change);
            }

            /// See [`Socket::close`].
            ///
            /// # Errors
            /// As there.
            pub async fn close(self) -> Result<(), Unsent> {
                self.0.close().await
            }

            $(socket!(@$ability);)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl From<$name> for Socket {
            fn from(socket: $name) -> Self {
                socket.0
            }
        }
    };
    (@sends) => {
        /// See [`Socket::send`]. Cancel safe: a future that is dropped has not sent.
        ///
        /// # Errors
        /// As there.
        pub async fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
            self.0.send(message).await
        }

        /// See [`Socket::try_send`].
        ///
        /// # Errors
        /// As there.
        pub fn try_send(&self, message: impl Into<Message>) -> Result<(), SendError> {
            self.0.try_send(message)
        }
    };
    (@receives) => {
        /// See [`Socket::recv`]. Cancel safe: a future that is dropped has not received.
        ///
        /// # Errors
        /// As there.
        pub async fn recv(&self) -> Result<Message, RecvError> {
            self.0.recv().await
        }

        /// See [`Socket::try_recv`].
        ///
        /// # Errors
        /// As there.
        pub fn try_recv(&self) -> Result<Option<Message>, RecvError> {
            self.0.try_recv()
        }

        /// See [`Socket::messages`].
        pub fn messages(&self) -> Messages<'_> {
            self.0.messages()
        }
    };
    (@subscribes) => {
        /// See [`Socket::subscribe`].
        ///
        /// # Errors
        /// As there.
        pub fn subscribe(&self, topic: impl AsRef<[u8]>) -> Result<(), Error> {
            self.0.subscribe(topic)
        }

        /// See [`Socket::unsubscribe`].
        ///
        /// # Errors
        /// As there.
        pub fn unsubscribe(&self, topic: impl AsRef<[u8]>) -> Result<(), Error> {
            self.0.unsubscribe(topic)
        }
    };
    (@routes) => {
        /// See [`Socket::connect_as`].
        ///
        /// # Errors
        /// As there.
        pub fn connect_as<E>(&self, endpoint: E, name: impl AsRef<[u8]>) -> Result<(), Error>
        where
            E: TryInto<Endpoint>,
            Error: From<E::Error>,
        {
            self.0.connect_as(endpoint, name)
        }

        /// Sends a message to the peer with that routing id.
        ///
        /// Cancel safe: a future that is dropped has not sent.
        ///
        /// # Errors
        /// With `mandatory`, nobody has that id.
        pub async fn send_to(
            &self,
            id: impl AsRef<[u8]>,
            message: impl Into<Message>,
        ) -> Result<(), SendError> {
            self.0.send(message.into().behind(id.as_ref())).await
        }

        /// Receives the next message, and the routing id of its sender.
        ///
        /// Cancel safe: a future that is dropped has not received.
        ///
        /// # Errors
        /// None at present.
        pub async fn recv_from(&self) -> Result<(Bytes, Message), RecvError> {
            let received = self.0.received().await?;
            Ok((received.from.unwrap_or_default(), received.body))
        }
    };
}

socket! {
    /// Asks, and waits for the answer, in strict turns.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use scale0::socket::{Rep, Req};
    ///
    /// let rep = Rep::new();
    /// let endpoint = rep.bind("tcp://127.0.0.1:*").await?;
    /// let req = Req::new();
    /// req.connect(&endpoint)?;
    ///
    /// req.send("how many?").await?;
    /// let question = rep.recv().await?;
    /// assert_eq!(question.first(), Some(&b"how many?"[..]));
    /// rep.send("three").await?;
    /// assert_eq!(req.recv().await?.first(), Some(&b"three"[..]));
    /// # Ok(())
    /// # }
    /// ```
    Req: sends receives
}

socket! {
    /// Answers whoever asks, in strict turns. See [`Req`] for an example with both.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use scale0::socket::{Rep, Req};
    ///
    /// let rep = Rep::new();
    /// rep.bind("inproc://answers").await?;
    /// let req = Req::new();
    /// req.connect("inproc://answers")?;
    /// req.send(vec!["2", "3"].into_iter().collect::<scale0::socket::Message>()).await?;
    /// let sum: u32 = rep
    ///     .recv()
    ///     .await?
    ///     .parts()
    ///     .map(|part| String::from_utf8_lossy(part).parse::<u32>().unwrap_or(0))
    ///     .sum();
    /// rep.send(sum.to_string()).await?;
    /// assert_eq!(req.recv().await?.first(), Some(&b"5"[..]));
    /// # Ok(())
    /// # }
    /// ```
    Rep: sends receives
}

socket! {
    /// Sends to its peers in turns and receives from all of them, as it likes.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use scale0::socket::{Dealer, Message, Rep};
    ///
    /// let rep = Rep::new();
    /// let endpoint = rep.bind("tcp://127.0.0.1:*").await?;
    /// let dealer = Dealer::new();
    /// dealer.connect(&endpoint)?;
    /// // Requests to a REP begin with an empty part, and several may be under way.
    /// dealer.send(Message::new(["", "one"])).await?;
    /// dealer.send(Message::new(["", "two"])).await?;
    /// for expected in ["one", "two"] {
    ///     let request = rep.recv().await?;
    ///     rep.send(request).await?;
    ///     assert_eq!(dealer.recv().await?, Message::new(["", expected]));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    Dealer: sends receives
}

socket! {
    /// Knows its peers by name: each message comes with its sender's, and goes to the one it names.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use scale0::socket::{Dealer, Options, Router};
    ///
    /// let router = Router::new();
    /// let endpoint = router.bind("tcp://127.0.0.1:*").await?;
    /// let options = Options { identity: "ann".into(), ..Options::default() };
    /// let dealer = Dealer::with(options);
    /// dealer.connect(&endpoint)?;
    /// dealer.send("hello").await?;
    /// let (id, message) = router.recv_from().await?;
    /// assert_eq!(id, "ann");
    /// router.send_to(&id, message).await?;
    /// assert_eq!(dealer.recv().await?.first(), Some(&b"hello"[..]));
    /// # Ok(())
    /// # }
    /// ```
    Router: sends receives routes
}

socket! {
    /// Publishes to whoever subscribes; a slow subscriber misses messages and holds nobody up.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use scale0::socket::{Message, Pub, Sub};
    ///
    /// let publisher = Pub::new();
    /// let endpoint = publisher.bind("tcp://127.0.0.1:*").await?;
    /// let subscriber = Sub::new();
    /// subscriber.subscribe("weather")?;
    /// subscriber.connect(&endpoint)?;
    /// // A subscriber gets what is published after its subscription has arrived.
    /// let news = loop {
    ///     publisher.send(Message::new(["weather.berlin", "sunny"])).await?;
    ///     tokio::select! {
    ///         news = subscriber.recv() => break news?,
    ///         () = tokio::time::sleep(std::time::Duration::from_millis(10)) => {}
    ///     }
    /// };
    /// assert_eq!(news.count(), 2);
    /// # Ok(())
    /// # }
    /// ```
    Pub: sends
}

socket! {
    /// Receives what it has subscribed to. See [`Pub`] for an example with both.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use scale0::socket::{Sub, Xpub};
    ///
    /// let publisher = Xpub::new();
    /// publisher.bind("inproc://news").await?;
    /// let subscriber = Sub::new();
    /// subscriber.connect("inproc://news")?;
    /// subscriber.subscribe("a")?;
    /// publisher.recv().await?; // the subscription is there
    /// publisher.send("b").await?;
    /// publisher.send("a!").await?;
    /// assert_eq!(subscriber.recv().await?.first(), Some(&b"a!"[..]));
    /// # Ok(())
    /// # }
    /// ```
    Sub: receives subscribes
}

socket! {
    /// Publishes, and receives the subscriptions: one part, 1 or 0 and the topic.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use scale0::socket::{Sub, Xpub};
    ///
    /// let publisher = Xpub::new();
    /// let endpoint = publisher.bind("tcp://127.0.0.1:*").await?;
    /// let subscriber = Sub::new();
    /// subscriber.connect(&endpoint)?;
    /// subscriber.subscribe("a")?;
    /// assert_eq!(publisher.recv().await?.first(), Some(&b"\x01a"[..]));
    /// publisher.send("apple").await?;
    /// assert_eq!(subscriber.recv().await?.first(), Some(&b"apple"[..]));
    /// # Ok(())
    /// # }
    /// ```
    Xpub: sends receives subscribes
}

socket! {
    /// Subscribes by sending: one part, 1 or 0 and the topic. Other messages go to all publishers.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use scale0::socket::{Xpub, Xsub};
    ///
    /// let publisher = Xpub::new();
    /// let endpoint = publisher.bind("tcp://127.0.0.1:*").await?;
    /// let subscriber = Xsub::new();
    /// subscriber.connect(&endpoint)?;
    /// subscriber.send(b"\x01a").await?;
    /// assert_eq!(publisher.recv().await?.first(), Some(&b"\x01a"[..]));
    /// publisher.send("apple").await?;
    /// assert_eq!(subscriber.recv().await?.first(), Some(&b"apple"[..]));
    /// # Ok(())
    /// # }
    /// ```
    Xsub: sends receives subscribes
}

socket! {
    /// Hands messages out, to its peers in turns.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use scale0::socket::{Pull, Push};
    ///
    /// let push = Push::new();
    /// let endpoint = push.bind("tcp://127.0.0.1:*").await?;
    /// let pull = Pull::new();
    /// pull.connect(&endpoint)?;
    /// push.send("work").await?; // waits for the first peer
    /// assert_eq!(pull.recv().await?.first(), Some(&b"work"[..]));
    /// push.close().await?;
    /// # Ok(())
    /// # }
    /// ```
    Push: sends
}

socket! {
    /// Collects messages, from its peers in turns. See [`Push`] for an example with both.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use scale0::socket::{Pull, Push};
    ///
    /// let pull = Pull::new();
    /// pull.bind("inproc://results").await?;
    /// for name in ["a", "b"] {
    ///     let push = Push::new();
    ///     push.connect("inproc://results")?;
    ///     push.send(name).await?;
    /// }
    /// assert_eq!(pull.recv().await?.first(), Some(&b"a"[..]));
    /// assert_eq!(pull.recv().await?.first(), Some(&b"b"[..]));
    /// # Ok(())
    /// # }
    /// ```
    Pull: receives
}

socket! {
    /// Two sockets that talk to each other and to nobody else.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use scale0::socket::Pair;
    ///
    /// let here = Pair::new();
    /// here.bind("inproc://pair").await?;
    /// let there = Pair::new();
    /// there.connect("inproc://pair")?;
    /// there.send("ready").await?;
    /// assert_eq!(here.recv().await?.first(), Some(&b"ready"[..]));
    /// # Ok(())
    /// # }
    /// ```
    Pair: sends receives
}
