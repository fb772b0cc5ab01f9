//! Those who ask: with the SDK in three dialects, by hand and pipelined, and some who never read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use scale0::Client;
use scale0::protocol::scale0::{Header, command, flag};
use scale0::sdk::{CallError, Dialect, Reply};
use tokio::task::JoinSet;

use super::World;
use super::book::{End, Task};
use super::dice::Dice;
use super::words::{self, Heard};

/// Everybody, until evening.
pub(super) fn invite(world: &Arc<World>, dice: &mut Dice) -> JoinSet<()> {
    let mut guests = JoinSet::new();
    for dialect in [Dialect::Scale0; 5] {
        guests.spawn(with_sdk(Arc::clone(world), dice.fork(), dialect));
    }
    for dialect in [
        Dialect::Mdp01,
        Dialect::Mdp01,
        Dialect::Mdp02,
        Dialect::Mdp02,
    ] {
        guests.spawn(with_sdk(Arc::clone(world), dice.fork(), dialect));
    }
    for _ in 0..4 {
        guests.spawn(by_hand(Arc::clone(world), dice.fork()));
    }
    guests.spawn(deaf(Arc::clone(world), dice.fork()));
    guests
}

/// Clients of the SDK, one after the other: some wait for their calls, some crash.
async fn with_sdk(world: Arc<World>, mut dice: Dice, dialect: Dialect) {
    while world.is_day() {
        let client = Client::builder(&world.endpoint).expect("an endpoint");
        let client = client.dialect(dialect).build().expect("a client");
        let mut calls = JoinSet::new();
        let (life, most) = (dice.span(SHORT, LONG), 1 + dice.below(24));
        let end = Instant::now() + life;
        while end > Instant::now() && world.turn().await {
            let task = world.book.task(dice.size());
            let call = call(
                Arc::clone(&world),
                client.clone(),
                dice.fork(),
                task,
                dialect,
            );
            calls.spawn(call);
            while calls.len() >= most {
                enter(&world, calls.join_next().await);
            }
        }
        if dice.chance(30) {
            calls.abort_all();
        }
        drop(client);
        while !calls.is_empty() {
            enter(&world, calls.join_next().await);
        }
    }
}

/// What became of a call; one that was aborted is cancelled.
fn enter(world: &World, call: Option<Result<End, tokio::task::JoinError>>) {
    match call {
        Some(Ok(end)) => world.book.end(end),
        Some(Err(error)) if error.is_cancelled() => world.book.end(End::Cancelled),
        Some(Err(error)) => world.book.wrong(format!("a call panicked: {error}")),
        None => {}
    }
}

async fn call(
    world: Arc<World>,
    client: Client,
    mut dice: Dice,
    task: Task,
    dialect: Dialect,
) -> End {
    // To Majordomo's clients nobody could say what went wrong with the last ones.
    let service = match dialect.is_majordomo() {
        true => dice.of(&SERVICES[..8]),
        false => dice.of(&SERVICES),
    };
    // They wait in vain for a task that was lost with its worker.
    let ttl = match dialect {
        Dialect::Scale0 if dice.chance(5) => {
            dice.span(Duration::from_millis(1), Duration::from_millis(60))
        }
        Dialect::Scale0 => TTL,
        _ => TTL / 4,
    };
    let request = client
        .request(service)
        .idempotent(task.idempotent())
        .ttl(ttl)
        .body(task.body());
    let streams = service == "parts" && dialect == Dialect::Scale0 && dice.chance(50);
    let answer = async {
        if !streams {
            return request.call().await;
        }
        let mut replies = request.stream().await?;
        let mut seen = 0;
        loop {
            let reply = replies.next().await.unwrap_or(Err(CallError::Closed))?;
            if reply.is_final() {
                return Ok(reply);
            }
            if reply.text() != seen.to_string() {
                world
                    .book
                    .wrong(format!("part {:?} instead of {seen}", reply.text()));
            }
            seen += 1;
        }
    };
    // Whoever loses patience cancels.
    let patience = if dice.chance(5) {
        dice.span(Duration::ZERO, Duration::from_millis(40))
    } else {
        TTL * 4
    };
    match tokio::time::timeout(patience, answer).await {
        Ok(answer) => judge(&world, service, task, dialect, answer),
        Err(_) => {
            if patience == TTL * 4 {
                world.book.wrong(format!("task {} has no end", task.number));
            }
            End::Cancelled
        }
    }
}

fn judge(
    world: &World,
    service: &str,
    task: Task,
    dialect: Dialect,
    answer: Result<Reply, CallError>,
) -> End {
    match answer {
        Ok(reply) if service != "fails" => {
            if !task.is_answer(&reply.into_parts()) {
                world
                    .book
                    .wrong(format!("task {} has another's answer", task.number));
            }
            End::Answered
        }
        Err(CallError::Failed(reply)) if service == "fails" && reply.code() == 422 => End::Failed,
        Err(CallError::Refused { status, .. }) => End::Refused(status.code()),
        Err(CallError::Timeout { .. }) if dialect.is_majordomo() => End::Silence,
        Err(CallError::Timeout { sent: false, .. }) => End::Cancelled,
        other => {
            world
                .book
                .wrong(format!("task {} of {service}: {other:?}", task.number));
            End::LeftBehind
        }
    }
}

/// Clients by hand, one after the other: many tasks at once on one connection, cancelled at
/// random; at the end some wait for all answers, some are gone at once.
async fn by_hand(world: Arc<World>, mut dice: Dice) {
    while world.is_day() {
        let dealer = words::dial(&world.endpoint);
        let mut open = BTreeMap::new();
        let end = Instant::now() + dice.span(SHORT, LONG);
        let mut next = 1;
        loop {
            let over = end <= Instant::now() || !world.is_day();
            if over && (open.is_empty() || dice.chance(1)) {
                break;
            }
            tokio::select! {
                biased;
                message = dealer.recv() => match message.ok().and_then(words::read) {
                    Some(heard) => hear(&world, &mut open, heard),
                    None => {
                        world.book.wrong("a client was cut, or heard no S0".to_owned());
                        break;
                    }
                },
                day = world.turn(), if !over && open.len() < 64 => {
                    if !day {
                        continue;
                    }
                    let task = world.book.task(dice.size());
                    let service = dice.of(&SERVICES);
                    let header = words::ask(service, next, TTL, task.idempotent());
                    let sent = dealer.send(task.body().behind(&header.frame())).await;
                    if sent.is_err() {
                        world.book.wrong("a task could not be sent".to_owned());
                    }
                    open.insert(next, (task, service, false));
                    if dice.chance(10) {
                        let cancel = Header {
                            id: words::number(dice.of(&[next, next / 2 + 1])),
                            ..Header::of(command::CANCEL)
                        };
                        let id = u64::from_be_bytes(cancel.id.0);
                        if let Some((_, _, cancelled)) = open.get_mut(&id) {
                            *cancelled = true;
                        }
                        drop(dealer.send(cancel.frame()).await);
                    }
                    next += 1;
                }
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
        }
        for _ in open {
            world.book.end(End::LeftBehind);
        }
    }
}

/// One message for a client by hand.
fn hear(world: &World, open: &mut BTreeMap<u64, (Task, &'static str, bool)>, heard: Heard) {
    let is_final = heard.command == command::ERROR || heard.flags & flag::MORE == 0;
    let Some(&(task, service, cancelled)) = open.get(&heard.id) else {
        return world.book.wrong(format!("an answer too many: {heard:?}"));
    };
    if !is_final {
        return;
    }
    open.remove(&heard.id);
    let end = match (heard.command, heard.code) {
        (command::REPLY, 200) if service != "fails" => {
            if !task.is_answer(&heard.body.into_parts()) {
                world
                    .book
                    .wrong(format!("task {} has another's answer", task.number));
            }
            End::Answered
        }
        (command::REPLY, 422) if service == "fails" => End::Failed,
        (command::ERROR, 499) if cancelled => End::Cancelled,
        (command::ERROR, code) => End::Refused(code),
        (command, code) => {
            let text = format!(
                "task {} of {service}: command {command}, code {code}",
                task.number
            );
            world.book.wrong(text);
            End::LeftBehind
        }
    };
    world.book.end(end);
}

/// Clients that ask for much and never read: the broker has to cut them.
async fn deaf(world: Arc<World>, mut dice: Dice) {
    while world.is_day() {
        let pause = dice.span(SHORT, LONG);
        let end = Instant::now() + pause;
        while end > Instant::now() && world.is_day() {
            tokio::time::sleep(super::LOOK).await;
        }
        let dealer = words::dial_ahead(&world.endpoint, 1);
        // Far more than the system holds for it.
        for id in 1..=120 {
            if !world.turn().await {
                break;
            }
            let task = world.book.task(256 << 10);
            let header = words::ask("echo", id, TTL, true);
            // Cut already: then it goes nowhere.
            drop(dealer.try_send(task.body().behind(&header.frame())));
            world.book.end(End::LeftBehind);
        }
        let end = Instant::now() + super::STALL * 3;
        while end > Instant::now() && world.is_day() {
            tokio::time::sleep(super::LOOK).await;
        }
    }
}

/// The last one but one fails, and the last one is offered by nobody.
const SERVICES: [&str; 10] = [
    "echo", "echo", "echo", "echo", "slow", "slow", "parts", "parts", "fails", "nobody",
];
const SHORT: Duration = Duration::from_millis(500);
const LONG: Duration = Duration::from_secs(15);
const TTL: Duration = Duration::from_secs(20);
