//! Those who work: some stay all day, others come and go, crash in the middle of their tasks or
//! stall; with the SDK in three dialects, and by hand.

use std::sync::Arc;
use std::time::{Duration, Instant};

use scale0::protocol::scale0::{Header, command};
use scale0::sdk::{Dialect, Failure};
use scale0::wire::Message;
use scale0::{Task, Worker};
use tokio::task::JoinSet;

use super::World;
use super::dice::Dice;
use super::words::{self, Heard};

/// Everybody, until all is done.
pub(super) fn hire(world: &Arc<World>, dice: &mut Dice) -> JoinSet<()> {
    let mut staff = JoinSet::new();
    for dialect in [
        Dialect::Scale0,
        Dialect::Scale0,
        Dialect::Mdp01,
        Dialect::Mdp02,
    ] {
        let world = Arc::clone(world);
        staff.spawn(async move {
            let until = world.shift(AGES);
            with_sdk(&world, dialect, 16, until).await;
        });
    }
    for dialect in [
        Dialect::Scale0,
        Dialect::Scale0,
        Dialect::Mdp01,
        Dialect::Mdp02,
    ] {
        staff.spawn(come_and_go(Arc::clone(world), dice.fork(), dialect));
    }
    for _ in 0..3 {
        staff.spawn(by_hand(Arc::clone(world), dice.fork()));
    }
    staff
}

/// Workers of the SDK, one after the other: half of them crash.
async fn come_and_go(world: Arc<World>, mut dice: Dice, dialect: Dialect) {
    while world.is_open() {
        let life = dice.span(SHORT, LONG);
        let capacity = 1 + dice.below(8) as u16;
        if dice.chance(50) {
            with_sdk(&world, dialect, capacity, world.shift(life)).await;
        } else {
            // Dropped in the middle of everything.
            tokio::select! {
                () = with_sdk(&world, dialect, capacity, std::future::pending()) => {}
                () = world.shift(life) => {}
            }
        }
        // By evening there is only one more life, and it is over at night.
        if world.is_day() {
            tokio::time::sleep(dice.span(Duration::ZERO, SHORT)).await;
        }
    }
}

async fn with_sdk(
    world: &Arc<World>,
    dialect: Dialect,
    capacity: u16,
    until: impl Future<Output = ()>,
) {
    let strict = !dialect.is_majordomo();
    // A connection of Majordomo's takes one task; so many of them would be a crowd.
    let capacity = if strict { capacity } else { 1 };
    let begin = {
        let world = Arc::clone(world);
        move |task: &Task| world.book.begin(task.body(), strict)
    };
    let (echo, slow, parts, fails) = (begin.clone(), begin.clone(), begin.clone(), begin);
    let worker = Worker::builder(&world.endpoint)
        .expect("an endpoint")
        .dialect(dialect)
        .capacity(capacity)
        .drain_timeout(Duration::from_secs(20))
        .service("echo", move |task: Task| {
            echo(&task);
            async { Ok::<_, Failure>(task.into_body()) }
        })
        .service("slow", move |task: Task| {
            slow(&task);
            async {
                let wait = task.body().payload() % 50;
                tokio::time::sleep(Duration::from_millis(wait as u64)).await;
                Ok::<_, Failure>(task.into_body())
            }
        })
        .service("parts", move |task: Task| {
            parts(&task);
            async {
                for n in 0..3 {
                    task.partial(n.to_string()).await;
                }
                Ok::<_, Failure>(task.into_body())
            }
        });
    // Majordomo has no code to say it with.
    let worker = match strict {
        false => worker,
        true => worker.service("fails", move |task: Task| {
            fails(&task);
            async { Err::<Message, _>(Failure::new(422, "as it should")) }
        }),
    };
    worker
        .build()
        .expect("a worker")
        .run(until)
        .await
        .expect("randomness");
}

/// Workers by hand, one after the other: they answer in any order, now and then read nothing for a
/// while, and never say goodbye.
async fn by_hand(world: Arc<World>, mut dice: Dice) {
    while world.is_open() {
        let dealer = words::dial(&world.endpoint);
        let connect = Header {
            code: 1 + dice.below(16) as u16,
            ..Header::of(command::CONNECT)
        };
        let offer = Message::new([&connect.frame()[..], b"echo", b"slow", b"fails", b"parts"]);
        drop(dealer.send(offer).await);
        let mut open: Vec<Heard> = Vec::new();
        let end = Instant::now() + dice.span(SHORT, LONG);
        // In the evening nobody goes before all is done.
        while world.is_open() && !(world.is_day() && end <= Instant::now()) {
            tokio::select! {
                message = dealer.recv() => {
                    let Some(heard) = message.ok().and_then(words::read) else {
                        // Cut: it may have stalled for too long.
                        break;
                    };
                    match heard.command {
                        command::TASK => {
                            world.book.begin(&heard.body, true);
                            open.push(heard);
                        }
                        command::PING => {
                            let pong = Header { id: words::number(heard.id), ..Header::of(command::PONG) };
                            drop(dealer.send(pong.frame()).await);
                        }
                        command::CANCEL => {
                            let place = open.iter().position(|task| task.id == heard.id);
                            if let Some(task) = place.map(|place| open.swap_remove(place)) {
                                drop(dealer.send(words::reply(task.id, 499, false).frame()).await);
                            }
                        }
                        _ => {}
                    }
                }
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
            if dice.chance(30) && !open.is_empty() {
                let task = open.swap_remove(dice.below(open.len()));
                for message in answers(task) {
                    drop(dealer.send(message).await);
                }
            }
            if world.is_day() && dice.below(5_000) == 0 {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// What a worker by hand says to a task.
fn answers(task: Heard) -> Vec<Message> {
    let last = |code| words::reply(task.id, code, false).frame();
    match &task.service[..] {
        b"fails" => vec![Message::single(&last(422))],
        b"parts" => {
            let part = |n: usize| {
                let header = words::reply(task.id, 200, true).frame();
                Message::new([&header[..], n.to_string().as_bytes()])
            };
            let parts = (0..3).map(part);
            parts.chain([task.body.behind(&last(200))]).collect()
        }
        _ => vec![task.body.behind(&last(200))],
    }
}

/// Longer than any day.
const AGES: Duration = Duration::from_secs(1 << 30);
const SHORT: Duration = Duration::from_millis(500);
const LONG: Duration = Duration::from_secs(20);
