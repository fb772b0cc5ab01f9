//! Client and Worker against a broker in this process, over real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use scale0::sdk::{BuildError, CallError, Dialect, Failure, Outcome, WorkerBuilder};
use scale0::server::{Config, Running};
use scale0::wire::Message;
use scale0::{Client, Task, Worker};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

fn broker_at(endpoint: &str) -> Running {
    let mut config = Config {
        endpoints: vec![endpoint.parse().unwrap()],
        ..Config::default()
    };
    config.drain_timeout = Duration::from_secs(5);
    Running::start(config).unwrap()
}

fn broker() -> (Running, String) {
    let broker = broker_at("tcp://127.0.0.1:0");
    let endpoint = broker.endpoints()[0].to_string();
    (broker, endpoint)
}

/// A worker that runs until it is told to stop.
struct Hired {
    stop: oneshot::Sender<()>,
    run: JoinHandle<Result<(), BuildError>>,
}

impl Hired {
    fn new(builder: WorkerBuilder) -> Self {
        let worker = builder.build().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let run = tokio::spawn(worker.run(async { drop(stopped.await) }));
        Self { stop, run }
    }

    async fn dismiss(self) {
        self.stop.send(()).unwrap();
        self.run.await.unwrap().unwrap();
    }

    /// As if its process had died.
    fn kill(self) {
        self.run.abort();
    }
}

fn worker(endpoint: &str) -> WorkerBuilder {
    Worker::builder(endpoint).unwrap()
}

async fn echo(task: Task) -> Result<Message, Failure> {
    Ok(task.into_body())
}

/// Whatever this test waits for, it does not take so long.
async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), what)
        .await
        .expect("it takes too long")
}

#[tokio::test]
async fn a_call_is_answered_with_what_the_handler_returns() {
    let (_broker, endpoint) = broker();
    let _worker = Hired::new(
        worker(&endpoint)
            .service("upper", async |task: Task| Ok(task.text().to_uppercase()))
            .service("parts", async |task: Task| {
                assert_eq!(task.service(), "parts");
                assert_eq!(task.attempt(), 1);
                assert_eq!(task.property("colour"), Some(&b"red"[..]));
                assert!(task.ttl().unwrap() <= Duration::from_secs(7));
                Ok(task.into_body())
            }),
    );
    let client = Client::connect(&endpoint).unwrap();
    assert_eq!(
        soon(client.call("upper", "hello")).await.unwrap().text(),
        "HELLO"
    );
    let request = client
        .request("parts")
        .ttl(Duration::from_secs(7))
        .property("Colour", "red");
    let reply = soon(request.body(Message::new(["a", "", "c"])).call())
        .await
        .unwrap();
    assert_eq!(reply.into_parts(), ["a", "", "c"]);
}

#[tokio::test]
async fn versions_and_wildcards_get_what_they_serve() {
    let (_broker, endpoint) = broker();
    let named = |what: &'static str| {
        move |task: Task| std::future::ready(Ok(format!("{what} {}", task.service())))
    };
    let _worker = Hired::new(
        worker(&endpoint)
            .service("image.resize@2", named("two"))
            .service("image.*", named("any"))
            .service("image.>", named("rest")),
    );
    let client = Client::connect(&endpoint).unwrap();
    for (asked, by) in [
        ("image.resize", "two"),
        ("image.resize@2", "two"),
        ("image.crop", "any"),
        ("image.crop.square", "rest"),
    ] {
        let reply = soon(client.call(asked, "")).await.unwrap();
        assert_eq!(reply.text(), format!("{by} {asked}"));
    }
    let missing = soon(client.call("image.resize@1", "")).await.unwrap_err();
    assert_eq!(missing.code(), Some(404));
    assert!(client.call("image.*", "").await.is_err());
}

#[tokio::test]
async fn large_bodies_pass_untouched() {
    let (_broker, endpoint) = broker();
    let _worker = Hired::new(worker(&endpoint).service("echo", echo));
    let client = Client::connect(&endpoint).unwrap();
    for size in [0, 255, 256, 4095, 4096, 65_536, 5 << 20] {
        let body: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        let reply = soon(client.call("echo", body.clone())).await.unwrap();
        assert!(reply.body().first() == Some(&body[..]), "{size} bytes");
    }
    let too_large = client
        .call("echo", vec![0; (16 << 20) + 1])
        .await
        .unwrap_err();
    assert!(matches!(too_large, CallError::TooLarge { .. }) && too_large.is_safe_to_repeat());
}

#[tokio::test]
async fn what_a_broker_would_not_take_costs_one_call_and_no_connection() {
    let (_broker, endpoint) = broker();
    let (took, mut taken) = mpsc::unbounded_channel();
    let _worker = Hired::new(
        worker(&endpoint)
            .capacity(3)
            .service("large", async |_| Ok(vec![0; 16 << 20]))
            .service("many", async |_| Ok(Message::new(vec![""; 1024])))
            .service("partial", async |task: Task| {
                task.partial(vec![0; 16 << 20]).await;
                std::future::pending::<Result<&str, Failure>>().await
            })
            .service("job", move |_| {
                took.send(()).unwrap();
                async {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    Ok("done")
                }
            }),
    );
    let client = Client::connect(&endpoint).unwrap();
    let other = tokio::spawn(client.request("job").call());
    soon(taken.recv()).await.unwrap();
    for service in ["large", "many", "partial"] {
        let failed = soon(client.call(service, ())).await.unwrap_err();
        assert_eq!(failed.code(), Some(500), "{service}: {failed}");
    }
    let body = || client.request("job").body(vec![0; 16 << 20]);
    let error = soon(body().call()).await.unwrap_err();
    assert!(matches!(error, CallError::TooLarge { .. }), "{error}");
    let error = soon(client.call("job", Message::new(vec![""; 1024])))
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::TooManyParts { .. }), "{error}");
    for (name, value) in [("n".repeat(256), 1), ("n".to_owned(), 4096)] {
        let request = client.request("job").property(&name, vec![0; value]);
        let error = soon(request.call()).await.unwrap_err();
        assert!(matches!(error, CallError::Property(_)), "{error}");
        assert!(error.is_safe_to_repeat());
    }
    assert_eq!(soon(other).await.unwrap().unwrap().text(), "done");
}

#[tokio::test]
async fn a_worker_with_many_large_replies_waits_until_they_are_written() {
    // All together less than may wait for the client: how fast it reads decides nothing.
    const SIZE: usize = 1 << 20;
    let (_broker, endpoint) = broker();
    let limits = scale0::limits::Limits {
        outbox: 64 << 10,
        ..Default::default()
    };
    let _worker = Hired::new(
        worker(&endpoint)
            .limits(limits)
            .capacity(16)
            .service("large", async |_| Ok(vec![7; SIZE])),
    );
    let client = Client::connect(&endpoint).unwrap();
    let calls: Vec<_> = (0..16)
        .map(|_| tokio::spawn(client.request("large").call()))
        .collect();
    for call in calls {
        assert_eq!(soon(call).await.unwrap().unwrap().body().payload(), SIZE);
    }
}

#[tokio::test]
async fn partial_replies_stream_in_order_and_a_plain_call_gets_them_joined() {
    let (_broker, endpoint) = broker();
    let _worker = Hired::new(worker(&endpoint).service("count", async |task: Task| {
        for n in 0..20 {
            task.partial(n.to_string()).await;
        }
        Ok("end")
    }));
    let client = Client::connect(&endpoint).unwrap();
    let mut stream = soon(client.request("count").stream()).await.unwrap();
    let mut seen = Vec::new();
    while let Some(reply) = soon(stream.next()).await {
        let reply = reply.unwrap();
        seen.push((reply.text().into_owned(), reply.is_final()));
    }
    let expected: Vec<_> = (0..20)
        .map(|n| (n.to_string(), false))
        .chain([("end".to_owned(), true)])
        .collect();
    assert_eq!(seen, expected);
    let joined = soon(client.call("count", ())).await.unwrap();
    assert_eq!(joined.body().count(), 21);
    assert_eq!(joined.body().parts().last(), Some(&b"end"[..]));
}

#[tokio::test]
async fn an_answer_in_parts_that_is_too_large_to_be_joined_ends_in_an_overrun() {
    let (_broker, endpoint) = broker();
    let _worker = Hired::new(worker(&endpoint).service("flood", async |task: Task| {
        loop {
            task.partial(vec![0; 1 << 20]).await;
        }
        #[allow(unreachable_code, reason = "gives the closure its type")]
        Ok(())
    }));
    let client = Client::connect(&endpoint).unwrap();
    let error = soon(client.call("flood", ())).await.unwrap_err();
    assert!(matches!(error, CallError::Overrun { .. }), "{error}");
}

#[tokio::test]
async fn failures_and_panics_of_handlers_reach_the_caller() {
    let (_broker, endpoint) = broker();
    let _worker = Hired::new(
        worker(&endpoint)
            .service("picky", async |_| {
                Err::<(), _>(Failure::new(422, "not that"))
            })
            .service("odd", async |_| Ok(Outcome::new(201, "made")))
            .service("mild", async |_| {
                let mut failure = Failure::new(500, "no");
                failure.code = 200;
                Err::<(), _>(failure)
            })
            .service("broken", async |task: Task| {
                assert!(task.body().is_empty(), "told so");
                Ok(())
            }),
    );
    let client = Client::connect(&endpoint).unwrap();
    let failed = soon(client.call("picky", "x")).await.unwrap_err();
    assert_eq!(failed.code(), Some(422));
    assert!(failed.to_string().contains("not that") && !failed.is_safe_to_repeat());
    assert_eq!(soon(client.call("odd", "x")).await.unwrap().code(), 201);
    let mild = soon(client.call("mild", "x")).await.unwrap_err();
    assert_eq!(mild.code(), Some(500));
    assert_eq!(Failure::new(399, "no").code, 500);
    assert_eq!(
        soon(client.call("broken", "x")).await.unwrap_err().code(),
        Some(500)
    );
    assert_eq!(
        soon(client.call("broken", ())).await.unwrap().code(),
        200,
        "the worker goes on"
    );
}

#[tokio::test]
async fn a_handler_that_panics_before_it_has_a_future_answers_500_too() {
    let (_broker, endpoint) = broker();
    let _worker = Hired::new(worker(&endpoint).service("echo", echo).service(
        "panic",
        |task: Task| -> std::future::Ready<Result<Message, Failure>> {
            assert!(task.body().is_empty(), "on purpose");
            std::future::ready(Ok(Message::default()))
        },
    ));
    let client = Client::connect(&endpoint).unwrap();
    let failed = soon(client.call("panic", "now")).await.unwrap_err();
    assert_eq!(failed.code(), Some(500));
    assert_eq!(
        soon(client.call("echo", "on")).await.unwrap().text(),
        "on",
        "the worker goes on"
    );
}

#[tokio::test]
async fn errors_say_whether_a_repeat_is_safe() {
    let (_broker, endpoint) = broker();
    let _worker = Hired::new(worker(&endpoint).service("slow", async |_| {
        std::future::pending::<()>().await;
        Ok(())
    }));
    let client = Client::connect(&endpoint).unwrap();
    let nobody = soon(
        client
            .request("nobody")
            .ttl(Duration::from_millis(200))
            .call(),
    )
    .await
    .unwrap_err();
    assert_eq!(nobody.code(), Some(404));
    assert!(nobody.is_safe_to_repeat());
    let started = soon(
        client
            .request("slow")
            .ttl(Duration::from_millis(200))
            .call(),
    )
    .await
    .unwrap_err();
    assert_eq!(started.code(), Some(504));
    assert!(!started.is_safe_to_repeat());
    let name = client.call("two words", ()).await.unwrap_err();
    assert!(matches!(name, CallError::Name(_)));
}

#[tokio::test]
async fn without_a_broker_a_call_times_out_and_may_be_repeated() {
    let client = Client::connect("tcp://127.0.0.1:1").unwrap();
    let error = soon(client.request("any").ttl(Duration::from_millis(300)).call())
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Timeout { sent: false, .. }) && error.is_safe_to_repeat());
}

#[tokio::test]
async fn a_broker_that_says_error_is_not_asked_again_at_once() {
    let error = b"\x04\x09\x05ERROR\x02no";
    let ready = b"\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06ROUTER";
    let mut greeting = [0; 64];
    greeting[0] = 0xff;
    greeting[9..12].copy_from_slice(&[0x7f, 3, 1]);
    greeting[12..16].copy_from_slice(b"NULL");
    let is_left_alone = async |words: Vec<u8>| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
        let count = async |listener: &TcpListener| {
            let mut tries = 0;
            let all = async {
                loop {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    tries += 1;
                    stream.write_all(&words).await.unwrap();
                    // Until it closes: what is unread when we do would take our words along.
                    let _ = stream.read_to_end(&mut Vec::new()).await;
                }
            };
            let all: Result<(), _> = tokio::time::timeout(Duration::from_secs(3), all).await;
            assert!(all.is_err());
            tries
        };
        let client = Client::connect(&endpoint).unwrap();
        let call = client.request("any").ttl(Duration::from_millis(2500));
        let call = tokio::spawn(call.call());
        let tries = count(&listener).await;
        assert!((2..=4).contains(&tries), "client: {tries}");
        let failed = soon(call).await.unwrap().unwrap_err();
        assert!(matches!(
            failed,
            CallError::Timeout { .. } | CallError::Unknown
        ));
        drop(client);
        let hired = Hired::new(worker(&endpoint).service("echo", echo));
        let tries = count(&listener).await;
        assert!((2..=4).contains(&tries), "worker: {tries}");
        hired.kill();
    };
    tokio::join!(
        is_left_alone([&greeting[..], error].concat()),
        is_left_alone([&greeting[..], ready, error].concat()),
    );
}

/// Tells when it is dropped.
struct Dropped(mpsc::UnboundedSender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[tokio::test]
async fn dropping_a_call_drops_its_handler() {
    let (_broker, endpoint) = broker();
    let started = Arc::new(Notify::new());
    let (dropped, mut drops) = mpsc::unbounded_channel();
    let begun = Arc::clone(&started);
    let _worker = Hired::new(worker(&endpoint).service("wait", move |_| {
        let (begun, guard) = (Arc::clone(&begun), Dropped(dropped.clone()));
        async move {
            let _guard = guard;
            begun.notify_one();
            std::future::pending::<()>().await;
            Ok(())
        }
    }));
    let client = Client::connect(&endpoint).unwrap();
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.call("wait", "x").await }
    });
    soon(started.notified()).await;
    call.abort();
    soon(drops.recv()).await.unwrap();
    // Its place is free again.
    let stream = soon(client.request("wait").stream()).await.unwrap();
    soon(started.notified()).await;
    drop(stream);
    soon(drops.recv()).await.unwrap();
}

#[tokio::test]
async fn a_dead_workers_task_is_done_by_another_where_that_is_allowed() {
    let (_broker, endpoint) = broker();
    let (took, mut taken) = mpsc::unbounded_channel();
    let hold = move |_: Task| {
        took.send(()).unwrap();
        std::future::pending::<Result<(), Failure>>()
    };
    let first = Hired::new(worker(&endpoint).capacity(2).service("job", hold));
    let client = Client::connect(&endpoint).unwrap();
    let call = |idempotent: bool| {
        let request = client.request("job").idempotent(idempotent).body("x");
        tokio::spawn(request.call())
    };
    let (repeatable, once) = (call(true), call(false));
    soon(taken.recv()).await.unwrap();
    soon(taken.recv()).await.unwrap();
    first.kill();
    let lost = soon(once).await.unwrap().unwrap_err();
    assert_eq!(lost.code(), Some(502));
    assert!(!lost.is_safe_to_repeat());
    let _second = Hired::new(
        worker(&endpoint).service("job", async |task: Task| Ok(task.attempt().to_string())),
    );
    assert_eq!(soon(repeatable).await.unwrap().unwrap().text(), "2");
}

#[tokio::test]
async fn never_more_tasks_at_once_than_the_capacity() {
    let (_broker, endpoint) = broker();
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = (Arc::clone(&running), Arc::clone(&most));
    let _worker = Hired::new(worker(&endpoint).capacity(3).service("job", move |_| {
        let (running, most) = seen.clone();
        async move {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        }
    }));
    let client = Client::connect(&endpoint).unwrap();
    let calls: Vec<_> = (0..30)
        .map(|_| tokio::spawn(client.request("job").call()))
        .collect();
    for call in calls {
        soon(call).await.unwrap().unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_worker_that_stops_finishes_what_it_has_and_takes_no_more() {
    let (_broker, endpoint) = broker();
    let (took, mut taken) = mpsc::unbounded_channel();
    let release = Arc::new(Notify::new());
    let gate = Arc::clone(&release);
    let first = Hired::new(worker(&endpoint).service("job", move |_| {
        took.send(()).unwrap();
        let gate = Arc::clone(&gate);
        async move {
            gate.notified().await;
            Ok("first")
        }
    }));
    let client = Client::connect(&endpoint).unwrap();
    let begun = tokio::spawn(client.request("job").call());
    soon(taken.recv()).await.unwrap();
    let leaving = tokio::spawn(first.dismiss());
    let later = tokio::spawn(client.request("job").call());
    let _second = Hired::new(worker(&endpoint).service("job", async |_| Ok("second")));
    assert_eq!(soon(later).await.unwrap().unwrap().text(), "second");
    release.notify_one();
    assert_eq!(soon(begun).await.unwrap().unwrap().text(), "first");
    soon(leaving).await.unwrap();
}

#[tokio::test]
async fn a_worker_that_stops_leaves_no_task_behind_that_was_on_its_way() {
    let (_broker, endpoint) = broker();
    let client = Client::connect(&endpoint).unwrap();
    let _other = Hired::new(worker(&endpoint).service("echo", echo));
    let asking: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                for _ in 0..300 {
                    client.call("echo", "a").await?;
                }
                Ok::<_, CallError>(())
            })
        })
        .collect();
    for _ in 0..10 {
        let brief = Hired::new(worker(&endpoint).service("echo", echo));
        tokio::time::sleep(Duration::from_millis(15)).await;
        soon(brief.dismiss()).await;
    }
    for asked in asking {
        soon(asked).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_worker_ends_with_its_drain_timeout_whatever_its_handlers_do() {
    let (_broker, endpoint) = broker();
    let (took, mut taken) = mpsc::unbounded_channel();
    let stuck = Hired::new(
        worker(&endpoint)
            .drain_timeout(Duration::from_millis(100))
            .service("job", move |_| {
                took.send(()).unwrap();
                std::future::pending::<Result<&str, Failure>>()
            }),
    );
    let client = Client::connect(&endpoint).unwrap();
    let lost = tokio::spawn(client.request("job").call());
    soon(taken.recv()).await.unwrap();
    soon(stuck.dismiss()).await;
    let error = soon(lost).await.unwrap().unwrap_err();
    assert_eq!(error.code(), Some(502), "nobody says that it was cancelled");
}

#[tokio::test]
async fn after_a_brokers_restart_everybody_comes_back_and_what_is_safe_is_sent_again() {
    let (broker, endpoint) = broker();
    let (took, mut taken) = mpsc::unbounded_channel();
    let hold = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let held = Arc::clone(&hold);
    let _worker = Hired::new(
        worker(&endpoint)
            .capacity(2)
            .service("job", move |task: Task| {
                took.send(()).unwrap();
                let held = Arc::clone(&held);
                async move {
                    if held.load(Ordering::SeqCst) {
                        std::future::pending::<()>().await;
                    }
                    Ok(task.into_body())
                }
            }),
    );
    let client = Client::connect(&endpoint).unwrap();
    let safe = tokio::spawn(client.request("job").idempotent(true).body("safe").call());
    let once = tokio::spawn(client.request("job").body("once").call());
    soon(taken.recv()).await.unwrap();
    soon(taken.recv()).await.unwrap();
    hold.store(false, Ordering::SeqCst);
    drop(broker);
    let unknown = soon(once).await.unwrap().unwrap_err();
    assert!(matches!(unknown, CallError::Unknown) && !unknown.is_safe_to_repeat());
    let _again = broker_at(&endpoint);
    assert_eq!(soon(safe).await.unwrap().unwrap().text(), "safe");
    assert_eq!(soon(client.call("job", "new")).await.unwrap().text(), "new");
}

#[tokio::test]
async fn when_one_endpoint_is_gone_the_next_is_used() {
    let (first, endpoint) = broker();
    let (_second, other) = broker();
    let _worker = Hired::new(
        worker(&endpoint)
            .fallback(&other)
            .unwrap()
            .service("echo", echo),
    );
    let client = Client::builder(&endpoint)
        .unwrap()
        .fallback(&other)
        .unwrap()
        .build()
        .unwrap();
    assert_eq!(
        soon(client.call("echo", "one")).await.unwrap().text(),
        "one"
    );
    drop(first);
    let mut tries = 0;
    let reply = loop {
        tries += 1;
        match soon(client.request("echo").idempotent(true).body("two").call()).await {
            Ok(reply) => break reply,
            // The client may be there before the worker.
            Err(error) => assert!(error.is_safe_to_repeat() && tries < 10, "{error}"),
        }
    };
    assert_eq!(reply.text(), "two");
}

#[tokio::test]
async fn more_calls_than_may_be_outstanding_wait_for_their_turn() {
    let (_broker, endpoint) = broker();
    let _worker = Hired::new(worker(&endpoint).capacity(8).service("echo", echo));
    let client = Client::builder(&endpoint)
        .unwrap()
        .max_outstanding(4)
        .build()
        .unwrap();
    let calls: Vec<_> = (0..500)
        .map(|n| tokio::spawn(client.request("echo").body(n.to_string()).call()))
        .collect();
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(soon(call).await.unwrap().unwrap().text(), n.to_string());
    }
}

#[tokio::test]
async fn majordomo_dialects_work_both_ways() {
    let (_broker, endpoint) = broker();
    for dialect in [Dialect::Mdp01, Dialect::Mdp02, Dialect::Mdp02Delimited] {
        let service = format!("echo-{dialect:?}");
        let hired = Hired::new(worker(&endpoint).dialect(dialect).capacity(2).service(
            &service,
            async |task: Task| {
                task.partial("part").await;
                Ok(task.into_body())
            },
        ));
        for asking in [dialect, Dialect::Scale0] {
            let client = Client::builder(&endpoint)
                .unwrap()
                .dialect(asking)
                .build()
                .unwrap();
            let calls: Vec<_> = (0..20)
                .map(|n| tokio::spawn(client.request(&service).body(n.to_string()).call()))
                .collect();
            for (n, call) in calls.into_iter().enumerate() {
                let parts = soon(call).await.unwrap().unwrap().into_parts();
                assert_eq!(
                    parts,
                    ["part".to_owned(), n.to_string()],
                    "{asking:?} to {dialect:?}"
                );
            }
        }
        soon(hired.dismiss()).await;
    }
}

#[tokio::test]
async fn a_majordomo_call_that_is_given_up_does_not_spoil_the_next() {
    let (_broker, endpoint) = broker();
    let _worker = Hired::new(
        worker(&endpoint)
            .capacity(2)
            .service("late", async |task: Task| {
                if task.text() == "first" {
                    tokio::time::sleep(Duration::from_millis(600)).await;
                }
                Ok(task.into_body())
            }),
    );
    let client = Client::builder(&endpoint)
        .unwrap()
        .dialect(Dialect::Mdp01)
        .build()
        .unwrap();
    let first = client
        .request("late")
        .body("first")
        .ttl(Duration::from_secs(30));
    assert!(
        tokio::time::timeout(Duration::from_millis(300), first.call())
            .await
            .is_err(),
        "given up"
    );
    assert_eq!(
        soon(client.call("late", "second")).await.unwrap().text(),
        "second"
    );
}

#[tokio::test]
async fn a_handler_may_refuse_a_task_and_another_worker_gets_it() {
    let (_broker, endpoint) = broker();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let refuser = worker(&endpoint).capacity(4).service("job", move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        async { Err::<(), _>(Failure::refuse()) }
    });
    let _refuser = Hired::new(refuser);
    let client = Client::connect(&endpoint).unwrap();
    // Alone, it is asked again each second.
    let request = client.request("job").ttl(Duration::from_millis(1500));
    let error = soon(request.body("x").call()).await.unwrap_err();
    assert_eq!(error.code(), Some(408), "{error}");
    assert!(error.is_safe_to_repeat());
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    let _able = Hired::new(worker(&endpoint).service("job", echo));
    for n in 0..5 {
        let text = n.to_string();
        let reply = soon(client.call("job", text.as_str())).await.unwrap();
        assert_eq!(reply.text(), text);
    }
}

#[tokio::test]
async fn attributes_reach_the_broker() {
    let (_broker, endpoint) = broker();
    let attributed = worker(&endpoint)
        .capacity(8)
        .service("job", echo)
        .attribute("job", "policy=hash")
        .attribute("job", "weight=3");
    let _worker = Hired::new(attributed);
    let client = Client::connect(&endpoint).unwrap();
    soon(client.call("job", "x")).await.unwrap();
    let services = soon(client.call("s0.services", ())).await.unwrap();
    let text = services.text();
    assert!(text.contains("\"policy\":\"hash\""), "{text}");
    // It comes from this machine.
    let set = Message::new(["job", "policy=least"]);
    let holds = soon(client.call("s0.set", set)).await.unwrap();
    assert!(
        holds.text().starts_with("{\"policy\":\"least\""),
        "{}",
        holds.text()
    );
}

#[tokio::test]
async fn what_cannot_be_built_says_why() {
    let none = Worker::builder("tcp://127.0.0.1:1")
        .unwrap()
        .build()
        .unwrap_err();
    assert!(matches!(none, BuildError::NoService));
    let twice = worker("tcp://127.0.0.1:1")
        .service("a", echo)
        .service("a", echo)
        .build()
        .unwrap_err();
    assert!(matches!(twice, BuildError::Twice(name) if name == "a"));
    let name = worker("tcp://127.0.0.1:1")
        .service("no spaces", echo)
        .build()
        .unwrap_err();
    assert!(matches!(name, BuildError::Name(_)));
    for (service, attribute) in [("b", "weight=5"), ("a", "weight=5;max=1")] {
        let builder = worker("tcp://127.0.0.1:1").service("a", echo);
        let error = builder.attribute(service, attribute).build().unwrap_err();
        assert!(matches!(error, BuildError::Attribute { .. }));
    }
    let wrong = worker("tcp://127.0.0.1:1")
        .service("a", echo)
        .attribute("a", "weight=0")
        .build()
        .unwrap_err();
    assert!(matches!(wrong, BuildError::Offer(text) if text.contains("1 to 10000")));
    assert!(matches!(
        Client::connect("nonsense"),
        Err(BuildError::Endpoint(_))
    ));
}

#[test]
fn a_client_needs_a_runtime() {
    assert!(matches!(
        Client::connect("tcp://127.0.0.1:1"),
        Err(BuildError::NoRuntime)
    ));
}

#[tokio::test]
async fn closing_the_last_clone_ends_the_connection() {
    let (_broker, endpoint) = broker();
    let watcher = Client::connect(&endpoint).unwrap();
    let connections = async || {
        let info = soon(watcher.call("s0.info", ())).await.unwrap();
        let text = info.text().into_owned();
        let (_, rest) = text.split_once("\"connections\":").unwrap();
        rest.split(',').next().unwrap().parse::<usize>().unwrap()
    };
    let client = Client::connect(&endpoint).unwrap();
    soon(client.call("mmi.service", "x")).await.unwrap();
    assert_eq!(connections().await, 2);
    drop(client);
    soon(async {
        while connections().await > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
