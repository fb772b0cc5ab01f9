//! Every future may be dropped at any time (the module's promise): nothing is lost, nothing comes
//! twice, nobody is left asleep.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_core::Stream;
use scale0::socket::{Event, Options, SendError, Socket, SocketType};

use crate::{
    Via, bound, eventually, joined, named, opened, over, quick, recv, send, settle, socket, text,
    within, words,
};

over! { tcp ipc inproc:
    a_dropped_recv_takes_nothing
    a_dropped_send_sends_nothing
    a_dropped_bind_binds_nothing
    a_dropped_close_goes_on
}
over! { tcp inproc:
    a_woken_recv_that_is_dropped_wakes_another
    a_woken_send_that_is_dropped_strands_nobody
    a_stream_of_messages_leaves_the_next_to_others
    a_dropped_stream_of_messages_takes_nothing
    a_dropped_monitor_next_loses_no_event
    send_and_recv_survive_a_race_with_everything
}

/// Counts how often it is woken.
#[derive(Debug, Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls a future at most `polls` times, with the others' turns between, and drops it.
async fn cut<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..polls {
        if let Poll::Ready(done) = once(future.as_mut()) {
            return Some(done);
        }
        tokio::task::yield_now().await;
    }
    None
}

async fn a_dropped_recv_takes_nothing(via: Via) {
    let (pull, endpoint) = bound(via, SocketType::Pull, quick()).await;
    let push = joined(SocketType::Push, quick(), &endpoint).await;
    let (mut sent, mut got) = (0, Vec::new());
    for round in 0..200 {
        if round % 2 == 0 {
            send(&push, sent.to_string()).await;
            sent += 1;
        }
        if let Some(message) = cut(pull.recv(), round % 5).await {
            got.push(text(&message.unwrap()).remove(0));
        }
    }
    while got.len() < sent {
        got.push(words(&pull).await.remove(0));
    }
    let expected: Vec<String> = (0..sent).map(|number| number.to_string()).collect();
    assert_eq!(got, expected);
    assert_eq!(pull.try_recv(), Ok(None));
}

async fn a_dropped_send_sends_nothing(via: Via) {
    let options = Options {
        send_messages: 2,
        ..quick()
    };
    let endpoint = via.free();
    let push = Socket::with(SocketType::Push, options);
    push.connect(endpoint.clone()).unwrap();
    let mut done = Vec::new();
    for round in 0..20 {
        if let Some(sent) = cut(push.send(round.to_string()), round % 5).await {
            sent.unwrap();
            done.push(round.to_string());
        }
    }
    assert_eq!(done.len(), 2);
    let pull = socket(SocketType::Pull);
    pull.bind(endpoint).await.unwrap();
    for expected in done {
        assert_eq!(words(&pull).await, [expected]);
    }
    send(&push, "end").await;
    assert_eq!(words(&pull).await, ["end"]);
}

async fn a_dropped_bind_binds_nothing(via: Via) {
    let endpoint = via.free();
    let pull = socket(SocketType::Pull);
    for polls in 0..4 {
        match cut(pull.bind(endpoint.clone()), polls).await {
            None => assert_eq!(pull.endpoints(), []),
            Some(done) => {
                let endpoint = done.unwrap();
                assert_eq!(pull.endpoints(), std::slice::from_ref(&endpoint));
                pull.unbind(&endpoint).unwrap();
            }
        }
    }
    within(pull.bind(endpoint.clone())).await.unwrap();
    let push = joined(SocketType::Push, quick(), &endpoint).await;
    send(&push, "x").await;
    assert_eq!(words(&pull).await, ["x"]);
}

async fn a_dropped_close_goes_on(via: Via) {
    for polls in 0..4 {
        let endpoint = via.free();
        let push = socket(SocketType::Push);
        push.connect(endpoint.clone()).unwrap();
        push.try_send("x").unwrap();
        assert!(cut(push.close(), polls).await.is_none());
        let pull = socket(SocketType::Pull);
        pull.bind(endpoint).await.unwrap();
        assert_eq!(words(&pull).await, ["x"]);
        eventually("closed", || pull.counters().peers == 0).await;
    }
}

async fn a_woken_recv_that_is_dropped_wakes_another(via: Via) {
    let (pull, endpoint) = bound(via, SocketType::Pull, quick()).await;
    let push = joined(SocketType::Push, quick(), &endpoint).await;
    for round in 0..50 {
        let mut waiting = Vec::new();
        for _ in 0..4 {
            let count = Arc::new(Count::default());
            let mut future = Box::pin(pull.recv());
            let waker = Waker::from(Arc::clone(&count));
            let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
            waiting.push((count, future));
        }
        send(&push, round.to_string()).await;
        // Whoever is woken is dropped without another look; then the next one has to be woken.
        while waiting.len() > 1 {
            let woken = |waiting: &[(Arc<Count>, _)]| {
                let mut counts = waiting.iter().map(|(count, _)| count);
                counts.position(|count| count.0.load(Ordering::SeqCst) > 0)
            };
            eventually("somebody is woken", || woken(&waiting).is_some()).await;
            let place = woken(&waiting).unwrap();
            drop(waiting.remove(place));
        }
        let (count, mut last) = waiting.remove(0);
        eventually("the last is woken", || count.0.load(Ordering::SeqCst) > 0).await;
        let Poll::Ready(message) = once(last.as_mut()) else {
            panic!("it was woken for nothing")
        };
        assert_eq!(text(&message.unwrap()), [round.to_string()]);
    }
}

async fn a_woken_send_that_is_dropped_strands_nobody(via: Via) {
    let options = Options {
        send_messages: 1,
        immediate: true,
        ..quick()
    };
    let (push, endpoint) = bound(via, SocketType::Push, options).await;
    let push = Arc::new(push);
    let mut tasks = Vec::new();
    for number in 0..10 {
        let push = Arc::clone(&push);
        tasks.push(tokio::spawn(
            async move { push.send(number.to_string()).await },
        ));
    }
    settle().await;
    let woken = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut dropped = Box::pin(push.send("dropped"));
    let polled = dropped.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    let pull = socket(SocketType::Pull);
    pull.connect(endpoint).unwrap();
    eventually("woken", || woken.0.load(Ordering::SeqCst) > 0).await;
    drop(dropped);
    let mut got: Vec<usize> = Vec::new();
    for _ in 0..10 {
        got.push(words(&pull).await.remove(0).parse().unwrap());
    }
    for task in tasks {
        within(task).await.unwrap().unwrap();
    }
    got.sort_unstable();
    assert_eq!(got, (0..10).collect::<Vec<_>>());
}

async fn a_stream_of_messages_leaves_the_next_to_others(via: Via) {
    let (pull, endpoint) = bound(via, SocketType::Pull, quick()).await;
    let pull = Arc::new(pull);
    let push = joined(SocketType::Push, quick(), &endpoint).await;
    send(&push, "first").await;
    assert_eq!(words(&pull).await, ["first"]);
    let mut stream = Box::pin(pull.messages());
    let woken = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    assert!(stream.as_mut().poll_next(&mut cx).is_pending());
    // It waits behind the stream.
    let other = Arc::clone(&pull);
    let other = tokio::spawn(async move { words(&other).await });
    settle().await;
    // Both come at once, so that one wake-up is all there is for them.
    push.try_send("a").unwrap();
    push.try_send("b").unwrap();
    eventually("woken", || woken.0.load(Ordering::SeqCst) > 0).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let Poll::Ready(Some(Ok(message))) = stream.as_mut().poll_next(&mut cx) else {
        panic!("it was woken for nothing")
    };
    // The stream's owner is busy with it; the other one gets the other message.
    let rest = tokio::time::timeout(Duration::from_secs(5), other).await;
    let mut both = [text(&message), rest.expect("woken").unwrap()];
    both.sort();
    assert_eq!(both, [["a"], ["b"]]);
}

async fn a_dropped_stream_of_messages_takes_nothing(via: Via) {
    let (pull, endpoint) = bound(via, SocketType::Pull, quick()).await;
    let push = joined(SocketType::Push, quick(), &endpoint).await;
    for number in 0..100 {
        send(&push, number.to_string()).await;
        let mut stream = Box::pin(pull.messages());
        let mut cx = Context::from_waker(Waker::noop());
        let early = stream.as_mut().poll_next(&mut cx);
        drop(stream);
        let message = match early {
            Poll::Ready(message) => message.unwrap().unwrap(),
            Poll::Pending => recv(&pull).await,
        };
        assert_eq!(text(&message), [number.to_string()]);
    }
}

async fn a_dropped_monitor_next_loses_no_event(via: Via) {
    let (router, endpoint) = bound(via, SocketType::Router, quick()).await;
    let mut monitor = router.monitor();
    let mut names = Vec::new();
    for number in 0..20 {
        let peer = joined(SocketType::Dealer, named(&number.to_string()), &endpoint).await;
        for polls in 0..4 {
            if let Some(Some(Event::Opened { identity, .. })) = cut(monitor.next(), polls).await {
                names.push(identity);
            }
        }
        within(peer.close()).await.unwrap();
    }
    while names.len() < 20 {
        if let Event::Opened { identity, .. } = opened(&mut monitor).await {
            names.push(identity);
        }
    }
    let expected: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    assert_eq!(names, expected);
}

async fn send_and_recv_survive_a_race_with_everything(via: Via) {
    let options = || Options {
        send_messages: 3,
        receive_messages: 3,
        ..quick()
    };
    let (pull, endpoint) = bound(via, SocketType::Pull, options()).await;
    let push = joined(SocketType::Push, options(), &endpoint).await;
    let total = 2000;
    let sending = async {
        let mut number = 0;
        while number < total {
            tokio::select! {
                biased;
                sent = push.send(number.to_string()) => { sent.unwrap(); number += 1; }
                () = tokio::task::yield_now() => {}
            }
        }
    };
    let receiving = async {
        let mut number = 0;
        while number < total {
            tokio::select! {
                biased;
                message = pull.recv() => {
                    assert_eq!(text(&message.unwrap()), [number.to_string()]);
                    number += 1;
                }
                () = tokio::task::yield_now() => {}
            }
        }
    };
    within(async { tokio::join!(sending, receiving) }).await;
    assert_eq!(pull.try_recv(), Ok(None));
    let full = Socket::new(SocketType::Push).try_send("x");
    assert!(matches!(full, Err(SendError::Full(_))));
}
