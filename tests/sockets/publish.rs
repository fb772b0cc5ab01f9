//! PUB, SUB, XPUB and XSUB (zmtp.md S1 to S10, D1).

use scale0::socket::{
    Error, Message, Options, PatternConfig, Refusal, SendError, Socket, SocketType, Transport,
    Verbose,
};

use crate::{
    Via, bound, ended, eventually, joined, opened, over, quick, recv, send, settle, socket, within,
    words,
};

over! { tcp ipc inproc:
    a_topic_is_a_prefix_of_the_first_part
    a_set_of_subscriptions_ends_with_one_cancellation
    subscriptions_come_back_with_the_connection
}
over! { tcp inproc:
    one_copy_for_each_subscriber_however_many_topics_match
    a_subscriber_counts_its_own_subscriptions
    the_slow_subscriber_alone_misses_messages
    without_drops_a_publisher_waits_for_the_slowest
    a_publisher_hears_of_the_first_subscriber_and_the_last_ones_end
    a_verbose_publisher_hears_of_every_subscription
    a_verboser_publisher_hears_of_every_end_too
    a_manual_publisher_decides
    a_manual_publisher_hears_of_every_end_when_a_subscriber_goes
    the_last_value_goes_to_the_last_subscriber_only
    a_welcome_greets_each_subscriber_that_wants_it
    inverted_matching_sends_what_does_not_match
    xsub_and_xpub_forward_subscriptions
    xsub_speaks_to_all_publishers
    verbose_unsubscribe_passes_on_what_was_not_subscribed
    who_joins_late_gets_what_follows
    a_late_message_after_an_unsubscription_is_not_delivered
    long_topics_come_and_go
    what_is_no_subscription_is_heard_by_xpub_and_not_by_pub
    of_what_is_published_conflate_keeps_the_last
    types_without_subscriptions_say_so
}

fn pattern(change: impl FnOnce(&mut PatternConfig)) -> Options {
    let mut options = quick();
    change(&mut options.pattern);
    options
}

/// A SUB with a topic that an XPUB has heard of.
async fn subscriber(xpub: &Socket, endpoint: &scale0::socket::Endpoint, topic: &str) -> Socket {
    let sub = joined(SocketType::Sub, quick(), endpoint).await;
    sub.subscribe(topic).unwrap();
    assert_eq!(words(xpub).await, [format!("\u{1}{topic}")]);
    sub
}

async fn a_topic_is_a_prefix_of_the_first_part(via: Via) {
    let (xpub, endpoint) = bound(via, SocketType::Xpub, quick()).await;
    let ab = subscriber(&xpub, &endpoint, "ab").await;
    let all = subscriber(&xpub, &endpoint, "").await;
    for first in ["", "a", "ab", "abc", "b"] {
        send(&xpub, Message::new([first, "ab"])).await;
    }
    for first in ["ab", "abc"] {
        assert_eq!(words(&ab).await, [first, "ab"]);
    }
    for first in ["", "a", "ab", "abc", "b"] {
        assert_eq!(words(&all).await, [first, "ab"]);
    }
    assert_eq!(xpub.counters().sent, 7);
}

async fn a_set_of_subscriptions_ends_with_one_cancellation(via: Via) {
    let (xpub, endpoint) = bound(via, SocketType::Xpub, quick()).await;
    let xsub = joined(SocketType::Xsub, quick(), &endpoint).await;
    // As a libzmq peer does: twice on the wire, one end.
    let options = pattern(|pattern| pattern.verbose_unsubscribe = true);
    let other = joined(SocketType::Xsub, options, &endpoint).await;
    send(&xsub, "\u{1}t").await;
    assert_eq!(words(&xpub).await, ["\u{1}t"]);
    send(&xsub, "\u{0}t").await;
    assert_eq!(words(&xpub).await, ["\u{0}t"]);
    send(&other, "\u{1}t").await;
    assert_eq!(words(&xpub).await, ["\u{1}t"]);
    send(&other, "\u{0}t").await;
    assert_eq!(words(&xpub).await, ["\u{0}t"]);
    send(&xpub, "t").await;
    assert_eq!(xpub.counters().sent, 0);
}

async fn subscriptions_come_back_with_the_connection(via: Via) {
    let (xpub, endpoint) = bound(via, SocketType::Xpub, quick()).await;
    let sub = joined(SocketType::Sub, quick(), &endpoint).await;
    for topic in ["a", "b", "c"] {
        sub.subscribe(topic).unwrap();
        recv(&xpub).await;
    }
    sub.unsubscribe("b").unwrap();
    recv(&xpub).await;
    within(xpub.close()).await.unwrap();
    let xpub = socket(SocketType::Xpub);
    xpub.bind(endpoint).await.unwrap();
    assert_eq!(words(&xpub).await, ["\u{1}a"]);
    assert_eq!(words(&xpub).await, ["\u{1}c"]);
    send(&xpub, "b").await;
    send(&xpub, "c").await;
    assert_eq!(words(&sub).await, ["c"]);
}

async fn one_copy_for_each_subscriber_however_many_topics_match(via: Via) {
    let (xpub, endpoint) = bound(via, SocketType::Xpub, quick()).await;
    let sub = subscriber(&xpub, &endpoint, "").await;
    for topic in ["a", "aa", "aaa"] {
        sub.subscribe(topic).unwrap();
        recv(&xpub).await;
    }
    send(&xpub, "aaaa").await;
    send(&xpub, "end").await;
    assert_eq!(words(&sub).await, ["aaaa"]);
    assert_eq!(words(&sub).await, ["end"]);
}

async fn a_subscriber_counts_its_own_subscriptions(via: Via) {
    let (xpub, endpoint) = bound(via, SocketType::Xpub, quick()).await;
    let sub = subscriber(&xpub, &endpoint, "t").await;
    sub.subscribe("t").unwrap();
    sub.unsubscribe("t").unwrap();
    sub.subscribe("mark").unwrap();
    assert_eq!(words(&xpub).await, ["\u{1}mark"]);
    send(&xpub, "t").await;
    assert_eq!(words(&sub).await, ["t"]);
    sub.unsubscribe("t").unwrap();
    assert_eq!(words(&xpub).await, ["\u{0}t"]);
    // One too many is nothing.
    sub.unsubscribe("t").unwrap();
    sub.subscribe("t").unwrap();
    assert_eq!(words(&xpub).await, ["\u{1}t"]);
}

fn narrow(options: Options) -> Options {
    Options {
        send_messages: 1,
        receive_messages: 1,
        transport: Transport {
            send_buffer: Some(64 << 10),
            receive_buffer: Some(64 << 10),
            ..Transport::default()
        },
        ..options
    }
}

fn large(number: usize) -> Message {
    Message::new([number.to_string().as_bytes(), &[7; 256 << 10], b"end"])
}

async fn the_slow_subscriber_alone_misses_messages(via: Via) {
    let (xpub, endpoint) = bound(via, SocketType::Pub, narrow(quick())).await;
    let mut monitor = xpub.monitor();
    let slow = joined(SocketType::Sub, narrow(quick()), &endpoint).await;
    slow.subscribe("").unwrap();
    let fast = joined(SocketType::Sub, quick(), &endpoint).await;
    fast.subscribe("").unwrap();
    opened(&mut monitor).await;
    opened(&mut monitor).await;
    // Both subscriptions have come when both get a copy.
    while xpub.counters().sent < 2 {
        settle().await;
        let before = xpub.counters().sent;
        send(&xpub, "probe").await;
        if xpub.counters().sent == before + 2 {
            break;
        }
    }
    let before = xpub.counters();
    let mut got = 0;
    let total = 40;
    for number in 0..total {
        send(&xpub, large(number)).await;
        loop {
            let message = recv(&fast).await;
            if message.count() == 3 {
                assert_eq!(message.first(), Some(number.to_string().as_bytes()));
                got += 1;
                break;
            }
        }
    }
    assert_eq!(got, total);
    let after = xpub.counters();
    let dropped = after.dropped_full - before.dropped_full;
    assert_eq!(after.sent - before.sent + dropped, 2 * total as u64);
    assert!(dropped > 20 && dropped < total as u64, "{dropped}");
    // What the slow one gets is whole, and the beginning.
    loop {
        let message = recv(&slow).await;
        if message.count() == 3 {
            assert_eq!(message.first(), Some(&b"0"[..]));
            break;
        }
    }
}

async fn without_drops_a_publisher_waits_for_the_slowest(via: Via) {
    let options = narrow(pattern(|pattern| pattern.no_drop = true));
    let (xpub, endpoint) = bound(via, SocketType::Xpub, options).await;
    let sub = joined(SocketType::Sub, narrow(quick()), &endpoint).await;
    sub.subscribe("").unwrap();
    recv(&xpub).await;
    let total = 30;
    let sending = async {
        let mut waited = 0;
        for number in 0..total {
            match xpub.try_send(large(number)) {
                Ok(()) => {}
                Err(SendError::Full(message)) => {
                    waited += 1;
                    send(&xpub, message).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
        waited
    };
    let receiving = async {
        for number in 0..total {
            settle().await;
            let message = recv(&sub).await;
            assert_eq!(message.first(), Some(number.to_string().as_bytes()));
        }
    };
    let (waited, ()) = within(async { tokio::join!(sending, receiving) }).await;
    assert!(waited > 0);
    assert_eq!(xpub.counters().dropped_full, 0);
}

async fn a_publisher_hears_of_the_first_subscriber_and_the_last_ones_end(via: Via) {
    let (xpub, endpoint) = bound(via, SocketType::Xpub, quick()).await;
    let mut monitor = xpub.monitor();
    let first = subscriber(&xpub, &endpoint, "t").await;
    let second = joined(SocketType::Sub, quick(), &endpoint).await;
    second.subscribe("t").unwrap();
    second.subscribe("mark").unwrap();
    assert_eq!(words(&xpub).await, ["\u{1}mark"]);
    first.unsubscribe("t").unwrap();
    first.subscribe("another").unwrap();
    assert_eq!(words(&xpub).await, ["\u{1}another"]);
    drop(second);
    ended(&mut monitor).await;
    let mut ends = [words(&xpub).await, words(&xpub).await];
    ends.sort();
    assert_eq!(ends, [["\u{0}mark"], ["\u{0}t"]]);
}

async fn two_with_one_topic(via: Via, verbose: Verbose) -> (Socket, Socket, Socket) {
    let options = pattern(|pattern| pattern.verbose = verbose);
    let (xpub, endpoint) = bound(via, SocketType::Xpub, options).await;
    let first = subscriber(&xpub, &endpoint, "t").await;
    let second = subscriber(&xpub, &endpoint, "t").await;
    (xpub, first, second)
}

async fn a_verbose_publisher_hears_of_every_subscription(via: Via) {
    let (xpub, first, second) = two_with_one_topic(via, Verbose::Subscriptions).await;
    first.unsubscribe("t").unwrap();
    first.subscribe("mark").unwrap();
    assert_eq!(words(&xpub).await, ["\u{1}mark"]);
    second.unsubscribe("t").unwrap();
    assert_eq!(words(&xpub).await, ["\u{0}t"]);
}

async fn a_verboser_publisher_hears_of_every_end_too(via: Via) {
    let (xpub, first, second) = two_with_one_topic(via, Verbose::All).await;
    first.unsubscribe("t").unwrap();
    assert_eq!(words(&xpub).await, ["\u{0}t"]);
    first.subscribe("t").unwrap();
    assert_eq!(words(&xpub).await, ["\u{1}t"]);
    // The end of a connection is the end of its subscriptions, each of them told.
    drop(first);
    assert_eq!(words(&xpub).await, ["\u{0}t"]);
    drop(second);
    assert_eq!(words(&xpub).await, ["\u{0}t"]);
}

fn manual() -> Options {
    pattern(|pattern| pattern.manual = true)
}

async fn a_manual_publisher_decides(via: Via) {
    let (xpub, endpoint) = bound(via, SocketType::Xpub, manual()).await;
    assert!(matches!(xpub.subscribe("x"), Err(Error::NoSubscriber)));
    let sub = subscriber(&xpub, &endpoint, "A").await;
    xpub.subscribe("XA").unwrap();
    send(&xpub, "A").await;
    send(&xpub, "XA").await;
    // It takes only what it has subscribed to itself; it has asked for A.
    sub.subscribe("XA").unwrap();
    assert_eq!(words(&xpub).await, ["\u{1}XA"]);
    xpub.subscribe("XA").unwrap();
    send(&xpub, "XA once more").await;
    assert_eq!(
        words(&sub).await,
        ["XA"],
        "it had not asked for it when it was sent"
    );
    assert_eq!(words(&sub).await, ["XA once more"]);
    sub.unsubscribe("A").unwrap();
    assert_eq!(words(&xpub).await, ["\u{0}A"]);
    xpub.unsubscribe("XA").unwrap();
    send(&xpub, "XA too late").await;
    assert_eq!(xpub.counters().sent, 2);
}

async fn a_manual_publisher_hears_of_every_end_when_a_subscriber_goes(via: Via) {
    let (xpub, endpoint) = bound(via, SocketType::Xpub, manual()).await;
    let first = subscriber(&xpub, &endpoint, "t").await;
    xpub.subscribe("other").unwrap();
    let second = subscriber(&xpub, &endpoint, "t").await;
    drop(first);
    assert_eq!(words(&xpub).await, ["\u{0}t"]);
    // It is gone, so there is nobody to decide about.
    assert!(matches!(
        xpub.unsubscribe("other"),
        Err(Error::NoSubscriber)
    ));
    drop(second);
    assert_eq!(words(&xpub).await, ["\u{0}t"]);
}

async fn the_last_value_goes_to_the_last_subscriber_only(via: Via) {
    let options = pattern(|pattern| (pattern.manual, pattern.last_value) = (true, true));
    let (xpub, endpoint) = bound(via, SocketType::Xpub, options).await;
    let first = subscriber(&xpub, &endpoint, "t").await;
    xpub.subscribe("t").unwrap();
    send(&xpub, "t1").await;
    assert_eq!(words(&first).await, ["t1"]);
    let second = subscriber(&xpub, &endpoint, "t").await;
    xpub.subscribe("t").unwrap();
    send(&xpub, "t1").await;
    send(&xpub, "t2").await;
    assert_eq!(words(&first).await, ["t2"]);
    assert_eq!(words(&second).await, ["t1"]);
    assert_eq!(words(&second).await, ["t2"]);
}

async fn a_welcome_greets_each_subscriber_that_wants_it(via: Via) {
    let options = Options {
        welcome: Some("W".into()),
        ..quick()
    };
    let (xpub, endpoint) = bound(via, SocketType::Xpub, options).await;
    for _ in 0..2 {
        let sub = socket(SocketType::Sub);
        sub.subscribe("W").unwrap();
        sub.connect(endpoint.clone()).unwrap();
        assert_eq!(words(&sub).await, ["W"]);
    }
    let other = socket(SocketType::Sub);
    other.subscribe("T").unwrap();
    other.connect(endpoint).unwrap();
    while words(&xpub).await != ["\u{1}T"] {}
    send(&xpub, "T").await;
    assert_eq!(words(&other).await, ["T"]);
}

async fn inverted_matching_sends_what_does_not_match(via: Via) {
    let invert = || pattern(|pattern| pattern.invert = true);
    let (xpub, endpoint) = bound(via, SocketType::Xpub, invert()).await;
    let sub = joined(SocketType::Sub, invert(), &endpoint).await;
    sub.subscribe("A").unwrap();
    recv(&xpub).await;
    for topic in ["A", "B", "AB", "C"] {
        send(&xpub, topic).await;
    }
    assert_eq!(words(&sub).await, ["B"]);
    assert_eq!(words(&sub).await, ["C"]);
}

async fn xsub_and_xpub_forward_subscriptions(via: Via) {
    let (publisher, upper) = bound(via, SocketType::Xpub, quick()).await;
    let xsub = joined(SocketType::Xsub, quick(), &upper).await;
    let (xpub, lower) = bound(via, SocketType::Xpub, quick()).await;
    let sub = joined(SocketType::Sub, quick(), &lower).await;
    sub.subscribe("A").unwrap();
    let subscription = recv(&xpub).await;
    send(&xsub, subscription).await;
    assert_eq!(words(&publisher).await, ["\u{1}A"]);
    send(&publisher, "B").await;
    send(&publisher, Message::new(["A", "news"])).await;
    let news = recv(&xsub).await;
    send(&xpub, news).await;
    assert_eq!(words(&sub).await, ["A", "news"]);
    drop(sub);
    let end = recv(&xpub).await;
    send(&xsub, end).await;
    assert_eq!(words(&publisher).await, ["\u{0}A"]);
}

async fn xsub_speaks_to_all_publishers(via: Via) {
    let xsub = socket(SocketType::Xsub);
    let mut monitor = xsub.monitor();
    let mut publishers = Vec::new();
    for _ in 0..2 {
        let (xpub, endpoint) = bound(via, SocketType::Xpub, quick()).await;
        xsub.connect(endpoint).unwrap();
        opened(&mut monitor).await;
        publishers.push(xpub);
    }
    send(&xsub, "\u{1}t").await;
    send(&xsub, Message::new(["hello", "all"])).await;
    for xpub in &publishers {
        assert_eq!(words(xpub).await, ["\u{1}t"]);
        assert_eq!(words(xpub).await, ["hello", "all"]);
    }
}

async fn verbose_unsubscribe_passes_on_what_was_not_subscribed(via: Via) {
    let options = pattern(|pattern| pattern.verbose = Verbose::All);
    let (xpub, endpoint) = bound(via, SocketType::Xpub, options).await;
    let xsub = joined(SocketType::Xsub, quick(), &endpoint).await;
    send(&xsub, "\u{0}unknown").await;
    send(&xsub, "\u{1}mark").await;
    assert_eq!(words(&xpub).await, ["\u{1}mark"]);
    xsub.configure(|options| options.pattern.verbose_unsubscribe = true);
    send(&xsub, "\u{0}unknown").await;
    assert_eq!(words(&xpub).await, ["\u{0}unknown"]);
}

async fn who_joins_late_gets_what_follows(via: Via) {
    let (xpub, endpoint) = bound(via, SocketType::Xpub, quick()).await;
    send(&xpub, "before").await;
    let sub = subscriber(&xpub, &endpoint, "").await;
    send(&xpub, "after").await;
    assert_eq!(words(&sub).await, ["after"]);
    assert_eq!(xpub.counters().sent, 1);
}

async fn a_late_message_after_an_unsubscription_is_not_delivered(via: Via) {
    let (xpub, endpoint) = bound(via, SocketType::Xpub, quick()).await;
    let sub = subscriber(&xpub, &endpoint, "t").await;
    sub.subscribe("u").unwrap();
    recv(&xpub).await;
    send(&xpub, "t").await;
    send(&xpub, "u").await;
    sub.unsubscribe("t").unwrap();
    assert_eq!(words(&sub).await, ["u"]);
    assert_eq!(sub.counters().ignored, 1);
}

async fn long_topics_come_and_go(via: Via) {
    let (xpub, endpoint) = bound(via, SocketType::Xpub, quick()).await;
    let sub = joined(SocketType::Sub, quick(), &endpoint).await;
    for len in [1, 244, 245, 246, 247, 254, 255, 256, 300, 4096] {
        let topic = "x".repeat(len);
        sub.subscribe(&topic).unwrap();
        assert_eq!(words(&xpub).await, [format!("\u{1}{topic}")], "{len}");
        send(&xpub, topic.as_str()).await;
        assert_eq!(words(&sub).await, [topic.as_str()]);
        sub.unsubscribe(&topic).unwrap();
        assert_eq!(words(&xpub).await, [format!("\u{0}{topic}")], "{len}");
    }
}

async fn what_is_no_subscription_is_heard_by_xpub_and_not_by_pub(via: Via) {
    let (publisher, endpoint) = bound(via, SocketType::Pub, quick()).await;
    let xsub = joined(SocketType::Xsub, quick(), &endpoint).await;
    send(&xsub, "hello").await;
    eventually("ignored", || publisher.counters().ignored == 1).await;
    let error = publisher.recv_refused().await;
    assert_eq!(error, Refusal::NoReceiver);
}

trait Refused {
    async fn recv_refused(&self) -> Refusal;
}

impl Refused for Socket {
    async fn recv_refused(&self) -> Refusal {
        match self.recv().await.unwrap_err() {
            scale0::socket::RecvError::Refused(refusal) => refusal,
            other => panic!("{other}"),
        }
    }
}

async fn of_what_is_published_conflate_keeps_the_last(via: Via) {
    let (xpub, endpoint) = bound(via, SocketType::Xpub, quick()).await;
    let options = Options {
        conflate: true,
        ..quick()
    };
    let sub = joined(SocketType::Sub, options, &endpoint).await;
    sub.subscribe("").unwrap();
    recv(&xpub).await;
    for number in 0..100 {
        send(&xpub, number.to_string()).await;
    }
    within(xpub.close()).await.unwrap();
    eventually("the end", || sub.counters().peers == 0).await;
    assert_eq!(words(&sub).await, ["99"]);
    assert_eq!(sub.try_recv(), Ok(None));
}

async fn types_without_subscriptions_say_so(_via: Via) {
    for kind in [
        SocketType::Pub,
        SocketType::Pull,
        SocketType::Xpub,
        SocketType::Req,
    ] {
        let socket = socket(kind);
        assert!(matches!(socket.subscribe("x"), Err(Error::NoSubscriptions)));
        assert!(matches!(
            socket.unsubscribe("x"),
            Err(Error::NoSubscriptions)
        ));
    }
    let error = socket(SocketType::Sub).try_send("x").unwrap_err();
    assert!(matches!(
        error,
        SendError::Refused {
            reason: Refusal::NoSender,
            ..
        }
    ));
}
