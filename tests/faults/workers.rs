//! Workers that are killed, frozen, woken, or loop, in the middle of their tasks.

use std::time::{Duration, Instant};

use scale0::Client;
use scale0::sdk::CallError;

use crate::peers::Python;
use crate::process::{Process, poll};
use crate::scene::{Scene, number};
use crate::staff::{ask, soon};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_workers_are_killed_each_call_has_one_end_and_what_may_be_repeated_succeeds() {
    let Some(python) = Python::find() else {
        return;
    };
    let scene = Scene::on(&["--wait-for-worker", "50s", "--max-attempts", "100"]);
    let hire = |n: usize| hire(&python, &scene, n);
    let mut staff: Vec<Process> = (0..6).map(&hire).collect();
    scene.staffed(6);
    let client = Client::connect(scene.endpoint()).unwrap();
    let calls: Vec<_> = (0..300)
        .map(|n| {
            let idempotent = n % 2 == 0;
            let text = format!("task {n}");
            (
                ask(&client, "mixed", text.as_str(), idempotent),
                text,
                idempotent,
            )
        })
        .collect();
    let mut killed = 0;
    for n in 6..18 {
        let mut doomed = staff.remove(0);
        // In the middle of one, unless all are done.
        scene.until("a task under way", |all| {
            number(&all["info"]["in_flight"]) > 3 || number(&all["info"]["open"]) == 0
        });
        doomed.signal("KILL");
        assert_eq!(doomed.end().code, None);
        killed += 1;
        staff.push(hire(n));
    }
    let (mut good, mut lost) = (0, 0);
    for (call, text, idempotent) in calls {
        match soon(call).await.unwrap() {
            Ok(reply) => {
                assert_eq!(reply.text(), text);
                good += 1;
            }
            Err(error) => {
                assert_eq!(error.code(), Some(502), "{text}: {error}");
                assert!(!idempotent && !error.is_safe_to_repeat(), "{text}: {error}");
                lost += 1;
            }
        }
    }
    assert_eq!(good + lost, 300);
    let info = scene.info();
    let counters = &info["counters"];
    println!("{good} good, {lost} lost, {} retried", counters["retried"]);
    assert_eq!(counters["replies"], good, "{info}");
    assert_eq!(scene.errors(502), lost);
    // Each worker had one task at a time: each death costs one attempt at most.
    let attempts = lost + number(&counters["retried"]);
    assert!((1..=killed).contains(&attempts), "{attempts} of {killed}");
    assert_eq!(
        number(&counters["assigned"]),
        300 + number(&counters["retried"])
    );
    assert_eq!(number(&counters["workers_left"]), killed);
    assert_eq!(number(&counters["workers_joined"]), 6 + killed);
    drop((staff, client));
    scene.over(24);
}

/// Workers of all kinds for one service, each for one task at a time that takes a moment.
fn hire(python: &Python, scene: &Scene, n: usize) -> Process {
    let dialect = ["s0", "mdp02", "ours"][n % 3];
    if dialect == "ours" {
        let mut scale0 = scene.broker.scale0("worker");
        scale0.args(["--service", "mixed", "--echo", "--delay", "40ms"]);
        return Process::start(&mut scale0);
    }
    let arguments = [scene.endpoint(), dialect, "mixed", "--work", "40"];
    python.start("worker.py", &arguments)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_frozen_and_woken_comes_back_and_its_late_answer_is_nobodys() {
    let Some(python) = Python::find() else {
        return;
    };
    let scene = Scene::on(&["--wait-for-worker", "50s"]);
    let client = Client::connect(scene.endpoint()).unwrap();
    let mut ours = scene.broker.scale0("worker");
    ours.args(["--service", "ours", "--echo", "--delay", "500ms"]);
    let ours = Process::start(&mut ours);
    let mut theirs = ["s0", "mdp01"]
        .map(|dialect| python.start("worker.py", &[scene.endpoint(), dialect, dialect, "--gate"]));
    scene.staffed(3);
    let services = ["ours", "s0", "mdp01"];
    let calls = services.map(|service| ask(&client, service, service, true));
    for service in services {
        scene.busy(service);
    }
    for worker in [&ours, &theirs[0], &theirs[1]] {
        worker.signal("STOP");
    }
    // Found out by ZMTP PING, for their connections are open.
    scene.staffed(0);
    let heirs = services.map(|service| {
        python.start(
            "worker.py",
            &[scene.endpoint(), "s0", service, "--work", "1"],
        )
    });
    for (call, service) in calls.into_iter().zip(services) {
        assert_eq!(soon(call).await.unwrap().unwrap().text(), service);
    }
    assert_eq!(scene.count("retried"), 3);
    assert_eq!(scene.count("connections_cut"), 3);
    assert!(
        scene
            .broker
            .process
            .stderr_line("no answer to PING")
            .contains("connection cut")
    );
    scene.staffed(3);
    drop(heirs);
    scene.staffed(0);

    // They go on where they were: what they had is done twice, and answered once.
    for worker in [&ours, &theirs[0], &theirs[1]] {
        worker.signal("CONT");
    }
    for worker in &mut theirs {
        worker.say("");
    }
    scene.staffed(3);
    assert_eq!(scene.count("replies"), 3, "the late ones are dropped");
    let calls = services.map(|service| ask(&client, service, "again", false));
    for worker in &mut theirs {
        worker.say("");
    }
    for call in calls {
        assert_eq!(soon(call).await.unwrap().unwrap().text(), "again");
    }
    assert_eq!(scene.count("replies"), 6);
    drop((ours, theirs, client));
    scene.over(16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_frozen_for_a_moment_loses_nothing() {
    let Some(python) = Python::find() else {
        return;
    };
    let scene = Scene::on(&["--wait-for-worker", "50s"]);
    let client = Client::connect(scene.endpoint()).unwrap();
    let arguments = [scene.endpoint(), "s0", "brief", "--gate", "--beat", "2500"];
    let mut worker = python.start("worker.py", &arguments);
    let call = ask(&client, "brief", "x", false);
    assert_eq!(worker.line(), "task 1");
    for _ in 0..5 {
        worker.signal("STOP");
        tokio::time::sleep(Duration::from_millis(500)).await;
        worker.signal("CONT");
    }
    worker.say("");
    assert_eq!(soon(call).await.unwrap().unwrap().text(), "x");
    let info = scene.info();
    assert_eq!(info["counters"]["workers_left"], 0, "{info}");
    assert_eq!(info["counters"]["connections_cut"], 0, "{info}");
    drop((worker, client));
    scene.over(16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_loops_is_found_out_by_its_tasks_deadline_and_given_up_in_the_end() {
    let Some(python) = Python::find() else {
        return;
    };
    let flags = [
        "--suspect-after",
        "300ms",
        "--suspect-time",
        "6s",
        "--mdp-promise",
        "300ms",
        "--wait-for-worker",
        "50s",
    ];
    let scene = Scene::on(&flags);
    let client = Client::connect(scene.endpoint()).unwrap();
    let begun = Instant::now();
    let mut looping = ["s0", "mdp01"].map(|dialect| {
        let arguments = [
            scene.endpoint(),
            dialect,
            dialect,
            "--loop",
            "--beat",
            "200",
        ];
        python.start("worker.py", &arguments)
    });
    scene.staffed(2);
    let calls = ["s0", "mdp01"].map(|service| {
        let request = client.request(service).idempotent(true);
        tokio::spawn(request.ttl(Duration::from_secs(1)).call())
    });
    for (call, worker) in calls.into_iter().zip(&mut looping) {
        let failed = soon(call).await.unwrap().unwrap_err();
        assert_eq!(failed.code(), Some(504), "{failed}");
        assert!(!failed.is_safe_to_repeat(), "it was begun");
        assert!(worker.line().starts_with("task"));
    }
    // Its I/O thread answers each PING: nothing but the deadline tells.
    let line = scene.broker.process.stderr_line("let a deadline pass");
    assert!(line.contains("it gets no new tasks"), "{line}");
    scene.until("two suspects", |all| {
        let workers = all["workers"].as_array().unwrap();
        workers.len() == 2 && workers.iter().all(|worker| worker["state"] == "suspect")
    });
    let waits = ask(&client, "s0", "for another", false);
    scene.until("it waits", |all| all["info"]["queued"] == 1);
    let heir = python.start("worker.py", &[scene.endpoint(), "mdp01", "s0"]);
    assert_eq!(soon(waits).await.unwrap().unwrap().text(), "for another");
    scene.staffed(1);
    println!("given up {:?} after the start", begun.elapsed());
    let info = scene.info();
    assert_eq!(info["counters"]["workers_left"], 2, "{info}");
    assert_eq!(info["in_flight"], 0, "their places went with them: {info}");
    assert_eq!(scene.errors(504), 2);
    drop((looping, heir, client));
    scene.over(16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_kills_every_worker_is_given_up_and_the_next_ones_live() {
    let Some(python) = Python::find() else {
        return;
    };
    let scene = Scene::on(&["--wait-for-worker", "50s"]);
    let client = Client::connect(scene.endpoint()).unwrap();
    let poison = ask(&client, "fragile", "poison", true);
    for attempt in 1..=3 {
        let arguments = [scene.endpoint(), "s0", "fragile", "--gate"];
        let mut victim = python.start("worker.py", &arguments);
        assert_eq!(victim.line(), format!("task {attempt}"));
        victim.signal("KILL");
    }
    let failed = soon(poison).await.unwrap().unwrap_err();
    assert!(matches!(failed, CallError::Refused { .. }), "{failed}");
    assert_eq!(failed.code(), Some(502));
    assert_eq!(scene.count("poisoned"), 1);
    assert!(
        scene
            .broker
            .process
            .stderr_line("task given up")
            .contains("fragile")
    );
    let good = python.start("worker.py", &[scene.endpoint(), "s0", "fragile"]);
    let reply = soon(ask(&client, "fragile", "food", false)).await.unwrap();
    assert_eq!(reply.unwrap().text(), "food");
    drop((good, client));
    assert!(poll(|| (scene.count("workers_left") == 4).then_some(())).is_some());
    scene.over(16);
}
