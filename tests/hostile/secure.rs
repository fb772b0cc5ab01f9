//! Hostile handshakes against a broker that speaks CURVE or PLAIN, in this process: whatever
//! strangers do, who is in is served, and who is known gets in. And what clients and workers of
//! ours do when they are refused.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use scale0::security::{self, Security};
use scale0::server::{Config, Running};
use scale0::wire::{Greeting, MechanismName};
use scale0::{Client, Task, Worker, session};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::alone::{alone, descriptors, resident};
use crate::guest::{
    ANN, BOB, End, Guard, Guest, Mood, STRANGER, curve_client, curve_server, dial_from, hello,
    plain_client,
};

/// A broker with a guard, a worker and a client; all three go when it is dropped.
struct House {
    guard: Arc<Guard>,
    at: SocketAddr,
    endpoint: String,
    known: Security,
    client: Client,
    worker: JoinHandle<()>,
    _broker: Running,
}

impl House {
    /// A broker that speaks CURVE.
    async fn new(mood: Mood, change: impl FnOnce(&mut Config)) -> Self {
        Self::with(curve_server(), curve_client(ANN), mood, change).await
    }

    async fn with(
        security: Security,
        known: Security,
        mood: Mood,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let guard = Guard::new(mood);
        let mut config = Config {
            endpoints: vec!["tcp://127.0.0.1:0".parse().unwrap()],
            security,
            authenticator: Some(Arc::clone(&guard) as _),
            ..Config::default()
        };
        change(&mut config);
        let broker = Running::start(config).unwrap();
        let endpoint = broker.endpoints()[0].to_string();
        let worker = Worker::builder(&endpoint)
            .unwrap()
            .security(known.clone())
            .service("echo", async |task: Task| Ok(task.into_body()))
            .build()
            .unwrap();
        let worker = tokio::spawn(async move {
            let forever = std::future::pending();
            worker.run(forever).await.unwrap();
        });
        let house = Self {
            guard,
            at: endpoint.strip_prefix("tcp://").unwrap().parse().unwrap(),
            client: client(&endpoint, known.clone()),
            endpoint,
            known,
            worker,
            _broker: broker,
        };
        soon(call(&house.client)).await;
        house
    }

    /// Who is in is served in about the time that it always takes; so is who comes.
    async fn serves(&self) {
        self.serves_who_is_in().await;
        let since = Instant::now();
        soon(call(&client(&self.endpoint, self.known.clone()))).await;
        let took = since.elapsed();
        assert!(took < USUAL, "a new client waited {took:?}");
    }

    async fn serves_who_is_in(&self) {
        let since = Instant::now();
        soon(call(&self.client)).await;
        let took = since.elapsed();
        assert!(took < USUAL, "the good client waited {took:?}");
    }

    async fn dial(&self) -> Guest {
        Guest::dial(self.at, curve_client(STRANGER)).await.unwrap()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.worker.abort();
    }
}

fn client(endpoint: &str, security: Security) -> Client {
    let builder = Client::builder(endpoint).unwrap();
    builder.security(security).build().unwrap()
}

/// The worker may be a moment later than the client that calls it first.
async fn call(client: &Client) {
    while client.call("echo", "hello").await.is_err() {
        tokio::task::yield_now().await;
    }
}

// ---- half of a handshake

#[tokio::test]
async fn a_curve_handshake_broken_off_anywhere_leaves_the_broker_as_it_was() {
    let house = House::new(Mood::Deny, |_| {}).await;
    let hello = hello(STRANGER);
    for cut in 0..=hello.len() {
        let mut stream = dial_from(Ipv4Addr::LOCALHOST, house.at).await.unwrap();
        stream.write_all(&hello[..cut]).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut said = Vec::new();
        // What was not read when it closed ends in a reset.
        let _ = soon(stream.read_to_end(&mut said)).await;
        assert!(said.len() <= 64 || cut == hello.len(), "cut at {cut}");
    }
    assert_eq!(house.guard.asked(), 0);
    house.serves().await;
}

#[tokio::test]
async fn a_broker_takes_a_curve_handshake_in_single_bytes_but_not_for_ever() {
    let time = Duration::from_secs(3);
    let house = House::new(Mood::Deny, |config| {
        config.broker.limits.handshake_time = time;
    })
    .await;
    let mut guest = Guest::dial(house.at, curve_client(BOB)).await.unwrap();
    guest.shake_in_steps(1).await.unwrap();
    let since = Instant::now();
    let mut slow = dial_from(Ipv4Addr::LOCALHOST, house.at).await.unwrap();
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    for byte in hello(STRANGER) {
        pace.tick().await;
        if slow.write_all(&[byte]).await.is_err() {
            break;
        }
    }
    let mut said = Vec::new();
    let _ = soon(slow.read_to_end(&mut said)).await;
    assert!(said.len() <= 64, "no WELCOME");
    let took = since.elapsed();
    assert!(took >= time && took < time + USUAL, "{took:?}");
    house.serves().await;
}

/// As many as the descriptors of this process allow, up to 10,000, from a hundred addresses.
#[test]
fn ten_thousand_half_open_curve_handshakes_keep_nobody_out_of_the_broker() {
    alone(
        "secure::ten_thousand_half_open_curve_handshakes_keep_nobody_out_of_the_broker",
        || async {
            let most = scale0::server::raise_descriptor_limit();
            let house = House::new(Mood::Deny, |config| {
                config.broker.limits.handshake_time = Duration::from_secs(3600);
            })
            .await;
            // The broker's own ends of the pending ones are of this process, too.
            let count = most.saturating_sub(4096 + 512).min(10_000);
            assert!(count > 500, "no crowd with {most} descriptors");
            println!("{count} half-open connections");
            let before = resident();
            let whole = hello(STRANGER);
            let mut crowd = Vec::new();
            for n in 0..count {
                let last = u8::try_from(n % 100).unwrap();
                let from = Ipv4Addr::new(127, 0, 9, last);
                let mut stream = dial_from(from, house.at).await.unwrap();
                let said = match n / 100 % 8 {
                    0 => 0,
                    1 => 10,
                    2 | 3 => 64,
                    4 => 65,
                    5 | 6 => whole.len() - 1,
                    _ => whole.len(),
                };
                stream.write_all(&whole[..said]).await.unwrap();
                crowd.push(stream);
                if n % 500 == 0 {
                    house.serves_who_is_in().await;
                }
            }
            house.serves().await;
            let grown = resident().saturating_sub(before) >> 10;
            assert!(grown < 128, "{grown} MiB for {count} half-open connections");
            drop(crowd);
            house.serves().await;
        },
    );
}

#[tokio::test]
async fn a_flood_of_hellos_from_one_address_is_bounded_and_others_reach_the_broker() {
    let house = House::new(Mood::Deny, |_| {}).await;
    let from = Ipv4Addr::new(127, 0, 0, 9);
    // What an address may do at once is soon used up: who is refused gets no greeting.
    let mut before = 0;
    loop {
        let mut stream = dial_from(from, house.at).await.unwrap();
        before += 1;
        if soon(stream.read_exact(&mut [0])).await.is_err() {
            break;
        }
        assert!(before < 10_000, "nobody counts");
    }
    let since = Instant::now();
    let flood: Vec<_> = (0..8)
        .map(|_| {
            let at = house.at;
            tokio::spawn(async move {
                let hello = hello(STRANGER);
                let (mut tried, mut welcomed) = (0_u32, 0_u32);
                while since.elapsed() < Duration::from_secs(2) {
                    let mut stream = dial_from(from, at).await.unwrap();
                    tried += 1;
                    let mut bytes = [0; 64 + 170];
                    let told = async {
                        stream.write_all(&hello).await?;
                        stream.read_exact(&mut bytes).await
                    };
                    welcomed += u32::from(soon(told).await.is_ok());
                }
                (tried, welcomed)
            })
        })
        .collect();
    for _ in 0..5 {
        house.serves().await;
    }
    let (mut tried, mut welcomed) = (0, 0);
    for one in flood {
        let (more, of_them) = one.await.unwrap();
        (tried, welcomed) = (tried + more, welcomed + of_them);
    }
    let most = since.elapsed().as_millis() / 2 + 20;
    println!("{welcomed} WELCOMEs for {tried} HELLOs, {most} are allowed");
    assert!(u128::from(welcomed) <= most, "{welcomed} of {most}");
    house.serves().await;
}

#[test]
fn without_descriptors_known_peers_of_the_broker_are_served_and_later_all() {
    alone(
        "secure::without_descriptors_known_peers_of_the_broker_are_served_and_later_all",
        || async {
            let house = House::new(Mood::Deny, |_| {}).await;
            let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
            let small = rustix::process::Rlimit {
                current: Some(descriptors() as u64 + 8),
                maximum: limits.maximum,
            };
            rustix::process::setrlimit(rustix::process::Resource::Nofile, small).unwrap();
            let mut crowd = Vec::new();
            while let Ok(stream) = dial_from(Ipv4Addr::LOCALHOST, house.at).await {
                crowd.push(stream);
            }
            assert!(!crowd.is_empty());
            for _ in 0..5 {
                house.serves_who_is_in().await;
            }
            crowd.clear();
            house.serves().await;
        },
    );
}

// ---- who decides

/// [T14]
#[tokio::test]
async fn an_authenticator_that_hangs_breaks_or_is_late_lets_nobody_into_the_broker() {
    let time = Duration::from_secs(1);
    for mood in [
        Mood::Never,
        Mood::Panic,
        Mood::PanicAtOnce,
        Mood::Late(time * 3),
        Mood::Later,
    ] {
        let house = House::new(mood, |config| {
            config.broker.limits.handshake_time = time;
        })
        .await;
        let since = Instant::now();
        let mut strangers = Vec::new();
        for _ in 0..20 {
            let mut guest = house.dial().await;
            strangers.push(tokio::spawn(async move { guest.shake().await }));
        }
        house.serves().await;
        for stranger in strangers {
            let end = soon(stranger).await.unwrap();
            assert!(matches!(end, Err(End::Closed)), "{mood:?}: {end:?}");
        }
        let took = since.elapsed();
        assert!(took < time + USUAL, "{mood:?}: {took:?}");
        until(|| house.guard.asked() == 20).await;
        if mood != Mood::PanicAtOnce {
            until(|| house.guard.left() == 20).await;
        }
        house.serves().await;
    }
}

#[tokio::test]
async fn the_broker_drops_a_question_about_a_peer_that_has_gone() {
    let house = House::new(Mood::Never, |config| {
        config.broker.limits.handshake_time = Duration::from_secs(3600);
    })
    .await;
    let mut guest = house.dial().await;
    while house.guard.asked() == 0 {
        let turn = tokio::time::timeout(Duration::from_millis(10), guest.turn(usize::MAX)).await;
        assert!(!matches!(turn, Ok(Err(_))), "{turn:?}");
    }
    drop(guest);
    until(|| house.guard.left() == 1).await;
    house.serves().await;
}

/// Those who wait for a verdict are pending like others: the oldest go, and their places are free
/// at once.
#[tokio::test]
async fn a_crowd_that_waits_for_a_verdict_pushes_its_own_oldest_out() {
    let house = House::new(Mood::Never, |config| {
        config.broker.limits.handshake_time = Duration::from_secs(3600);
        config.broker.limits.pending_handshakes = 10;
    })
    .await;
    let mut crowd = Vec::new();
    for n in 1..=30 {
        let mut guest = house.dial().await;
        while house.guard.asked() < n {
            let turn = tokio::time::timeout(Duration::from_millis(5), guest.turn(usize::MAX)).await;
            assert!(!matches!(turn, Ok(Err(_))), "{turn:?}");
        }
        crowd.push(guest);
    }
    until(|| house.guard.left() >= 20).await;
    for guest in &mut crowd[..20] {
        guest.closed().await;
    }
    house.serves().await;
}

/// [D8], [P2]: told, the same whether the name or the password is wrong, and closed within a
/// second though the peer itself does not hang up.
#[tokio::test]
async fn the_broker_tells_whom_it_refuses_and_closes_within_a_second() {
    let curve = (
        curve_server(),
        curve_client(ANN),
        vec![curve_client(STRANGER)],
    );
    let strangers = vec![
        plain_client("ann", "Secret"),
        plain_client("ann", ""),
        plain_client("nobody", "secret"),
    ];
    let plain = (
        Security::PlainServer,
        plain_client("ann", "secret"),
        strangers,
    );
    for (server, known, strangers) in [curve, plain] {
        for (mood, words) in [(Mood::Deny, "400"), (Mood::Fail, "500")] {
            let house = House::with(server.clone(), known.clone(), mood, |_| {}).await;
            for stranger in strangers.clone() {
                let mut guest = Guest::dial(house.at, stranger).await.unwrap();
                let told = security::Error::Refused {
                    reason: words.into(),
                };
                match guest.shake().await {
                    Err(End::Session(session::Error::Security(error))) => assert_eq!(error, told),
                    end => panic!("{end:?}"),
                }
                let since = Instant::now();
                guest.closed().await;
                let took = since.elapsed();
                assert!(took < Duration::from_secs(1), "{took:?}");
            }
            house.serves().await;
        }
    }
}

// ---- our own clients and workers

/// How often the guard is asked within three seconds of the first time.
async fn tries(guard: &Guard) -> usize {
    until(|| guard.asked() > 0).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    guard.asked()
}

#[tokio::test]
async fn clients_and_workers_that_are_refused_try_four_times_in_three_seconds_at_most() {
    let curve = || (curve_server(), curve_client(ANN), curve_client(STRANGER));
    let plain = || {
        let known = plain_client("ann", "secret");
        (Security::PlainServer, known, plain_client("ann", "Secret"))
    };
    let mut running = Vec::new();
    for (n, (server, known, wrong)) in [curve(), curve(), plain(), plain()].into_iter().enumerate()
    {
        running.push(tokio::spawn(async move {
            let house = House::with(server, known, Mood::Deny, |_| {}).await;
            let stranger = if n % 2 == 0 {
                let client = client(&house.endpoint, wrong);
                tokio::spawn(async move { while client.call("echo", "").await.is_err() {} })
            } else {
                let worker = Worker::builder(&house.endpoint).unwrap().security(wrong);
                let worker = worker.service("other", async |task: Task| Ok(task.into_body()));
                let worker = worker.build().unwrap();
                tokio::spawn(async move { drop(worker.run(std::future::pending()).await) })
            };
            let tries = tries(&house.guard).await;
            stranger.abort();
            assert!((2..=4).contains(&tries), "{tries} tries of number {n}");
            house.serves().await;
        }));
    }
    for one in running {
        soon(one).await.unwrap();
    }
}

/// [W6]: jittered backoff as after any loss, so that a broker whose mechanism is changed finds its
/// clients again soon.
#[tokio::test]
async fn a_client_that_finds_another_mechanism_comes_back_with_backoff() {
    let mut seen = Vec::new();
    for _ in 0..2 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
        let client = client(&endpoint, Security::Null);
        let calls = tokio::spawn(async move { while client.call("echo", "").await.is_err() {} });
        let greeting = Greeting {
            minor: 1,
            mechanism: MechanismName::CURVE,
            as_server: true,
        };
        let mut times = Vec::new();
        for _ in 0..5 {
            let (mut stream, _) = soon(listener.accept()).await.unwrap();
            times.push(Instant::now());
            // It may have hung up before it has read all.
            let _ = stream.write_all(&greeting.write()).await;
            let mut said = Vec::new();
            let _ = soon(stream.read_to_end(&mut said)).await;
            assert_eq!(said.len(), 64, "a greeting and no word more");
        }
        calls.abort();
        let waits: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        for (nth, wait) in waits.iter().enumerate() {
            let least = Duration::from_millis(70 << nth);
            let most = Duration::from_millis(130 << nth) + USUAL;
            assert!(*wait >= least && *wait < most, "{nth}: {wait:?}");
        }
        seen.push(waits.iter().sum::<Duration>().as_micros());
    }
    assert_ne!(seen[0], seen[1], "in step");
}

// ---- who may stay

#[tokio::test]
async fn the_broker_cuts_who_is_not_admitted_any_more_within_about_a_second() {
    let house = House::new(Mood::Deny, |_| {}).await;
    for breaks in [false, true] {
        let mut guest = Guest::dial(house.at, curve_client(BOB)).await.unwrap();
        guest.shake().await.unwrap();
        let since = Instant::now();
        match breaks {
            // Who cannot be asked about any more is treated the same.
            true => house.guard.breaks_later.store(true, Ordering::Relaxed),
            false => house.guard.revoke("bob"),
        }
        guest.closed().await;
        let took = since.elapsed();
        assert!(took < Duration::from_secs(4), "{took:?}");
        house.guard.pardon();
        house.serves().await;
    }
}

async fn until(so: impl Fn() -> bool) {
    soon(async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// Whatever it is, it comes before this test is over.
async fn soon<F: Future>(future: F) -> F::Output {
    let bounded = tokio::time::timeout(Duration::from_secs(30), Box::pin(future)).await;
    bounded.expect("not within the time that a test may take")
}

/// Far beyond what a call or a handshake takes even when the machine is busy.
const USUAL: Duration = Duration::from_secs(5);
