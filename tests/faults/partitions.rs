//! Links that break between processes that live on.

use std::time::Instant;

use scale0::Client;
use scale0::sdk::CallError;

use crate::cable::Cable;
use crate::peers::Python;
use crate::scene::{Scene, number};
use crate::staff::{Gated, ask, call_on, eventually, soon};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_behind_a_silent_link_loses_its_task_to_another_and_comes_back_when_it_is_mended()
{
    let Some(python) = Python::find() else {
        return;
    };
    let scene = Scene::on(&["--wait-for-worker", "50s"]);
    let cable = Cable::to(scene.endpoint());
    let far = Gated::new(&cable.endpoint, "ours", 1);
    let mut theirs = ["s0", "mdp01"]
        .map(|dialect| python.start("worker.py", &[&cable.endpoint, dialect, dialect, "--gate"]));
    scene.staffed(3);
    let client = Client::connect(scene.endpoint()).unwrap();
    let services = ["ours", "s0", "mdp01"];
    let calls = services.map(|service| ask(&client, service, service, true));
    for service in services {
        scene.busy(service);
    }
    cable.part();
    // They finish into the silence.
    far.open();
    for worker in &mut theirs {
        assert!(worker.line().starts_with("task"));
        worker.say("");
    }
    let heirs =
        services.map(|service| python.start("worker.py", &[scene.endpoint(), "s0", service]));
    for (mut heir, (call, service)) in heirs.into_iter().zip(calls.into_iter().zip(services)) {
        assert_eq!(soon(call).await.unwrap().unwrap().text(), service);
        assert_eq!(heir.line(), "task 2");
    }
    assert_eq!(scene.count("retried"), 3);
    assert_eq!(scene.count("connections_cut"), 3);
    scene.staffed(0);
    cable.mend();
    scene.staffed(3);
    let calls = services.map(|service| ask(&client, service, "again", false));
    for worker in &mut theirs {
        worker.say("");
    }
    for call in calls {
        assert_eq!(soon(call).await.unwrap().unwrap().text(), "again");
    }
    let info = scene.info();
    assert_eq!(info["counters"]["replies"], 6, "none twice: {info}");
    drop((far, theirs, client, cable));
    scene.over(16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_behind_a_silent_link_asks_again_what_it_may_and_knows_what_it_does_not_know() {
    let scene = Scene::on(&["--wait-for-worker", "50s"]);
    let cable = Cable::to(scene.endpoint());
    let gated = Gated::new(scene.endpoint(), "gated", 10);
    let client = Client::connect(&cable.endpoint).unwrap();
    let (safe, other) = (
        ask(&client, "gated", "safe", true),
        ask(&client, "gated", "other", false),
    );
    gated.has_begun(2).await;
    cable.part();
    gated.open();
    let error = soon(other).await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Unknown), "{error}");
    // The broker has answered both, and cannot know that nobody heard it.
    scene.until("both are answered", |all| {
        all["info"]["counters"]["replies"] == 2
    });
    cable.mend();
    assert_eq!(soon(safe).await.unwrap().unwrap().text(), "safe");
    assert_eq!(gated.begun(), 3, "the safe one once more");
    assert_eq!(scene.count("replies"), 3);
    drop((gated, client, cable));
    scene.over(16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_whose_link_is_cut_again_and_again_succeed_if_they_may_be_repeated() {
    let scene = Scene::on(&["--wait-for-worker", "50s", "--max-attempts", "20"]);
    let (near, far) = (Cable::to(scene.endpoint()), Cable::to(scene.endpoint()));
    let gated = Gated::new(&far.endpoint, "large", 8);
    gated.open();
    let client = Client::connect(&near.endpoint).unwrap();
    let mut rounds = 0;
    let cuts = [&near, &far, &near, &near, &far, &near];
    for (n, cut) in (0_u8..).zip(cuts) {
        // Before any is asked: they begin while the others' bodies are made.
        let goal = gated.begun() + 6;
        let calls: Vec<_> = (0..24)
            .map(|m: u8| {
                let body = vec![n * 24 + m; 1 << 20];
                (ask(&client, "large", body.clone(), true), body)
            })
            .collect();
        eventually("some have begun", || gated.begun() >= goal).await;
        cut.cut();
        for (call, body) in calls {
            let reply = soon(call).await.unwrap().unwrap();
            assert_eq!(reply.body().payload(), body.len());
            assert_eq!(reply.body().first(), Some(&body[..]));
        }
        rounds += 1;
    }
    assert_eq!(rounds, 6);
    let info = scene.info();
    let counters = &info["counters"];
    println!(
        "{} begun, {} orphaned, {} retried",
        gated.begun(),
        counters["orphaned"],
        counters["retried"]
    );
    assert!(
        number(&counters["orphaned"]) + number(&counters["retried"]) > 0,
        "{info}"
    );
    assert_eq!(number(&counters["workers_left"]), 2, "{info}");
    drop((gated, client, near, far));
    scene.over(96);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_link_slows_only_those_behind_it() {
    let scene = Scene::on(&["--wait-for-worker", "50s"]);
    let slow = Cable::slow(scene.endpoint(), std::time::Duration::from_millis(50));
    let (far, near) = (
        Gated::new(&slow.endpoint, "far", 8),
        Gated::new(scene.endpoint(), "near", 8),
    );
    far.open();
    near.open();
    let remote = Client::connect(&slow.endpoint).unwrap();
    let local = Client::connect(scene.endpoint()).unwrap();
    let begun = Instant::now();
    let body = vec![7; 512 << 10];
    let calls: Vec<_> = (0..12)
        .map(|n| {
            ask(
                &remote,
                if n % 2 == 0 { "far" } else { "near" },
                body.clone(),
                false,
            )
        })
        .collect();
    let all = async {
        for call in calls {
            assert_eq!(
                soon(call).await.unwrap().unwrap().body().payload(),
                body.len()
            );
        }
    };
    let done = std::cell::Cell::new(false);
    let (took, ()) = tokio::join!(call_on(&local, "near", || done.get()), async {
        all.await;
        done.set(true);
    });
    let slowest = took.iter().max().unwrap();
    println!(
        "{} calls beside it, {slowest:?} at most; it took {:?}",
        took.len(),
        begun.elapsed()
    );
    assert!(took.len() > 20 && *slowest < begun.elapsed() / 2);
    assert_eq!(scene.count("connections_cut"), 0);
    drop((far, near, remote, local, slow));
    scene.over(48);
}
