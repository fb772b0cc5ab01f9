//! Majordomo, and sockets of this machine.

use scale0::net::Link;
use scale0::wire::Piece;
use scale0::{Client, Task, Worker};
use tokio::task::JoinSet;

use crate::process::Broker;
use crate::{bounded, dismiss, hire, info, link, next, services};

async fn send(link: &mut Link, parts: &[&[u8]]) {
    let pieces: Vec<Piece<'_>> = parts.iter().map(|part| Piece::Part(part)).collect();
    link.send(&pieces).unwrap();
    link.flush().await.unwrap();
}

async fn heard(link: &mut Link) -> Option<Vec<Vec<u8>>> {
    let message = next(link).await?;
    Some(message.parts().map(<[u8]>::to_vec).collect())
}

/// A worker by hand that puts its name before what it is asked, until its connection ends.
async fn work(mut link: Link, name: usize) {
    while let Some(mut request) = heard(&mut link).await {
        assert_eq!(request[..2], [&b""[..], b"MDPW01"]);
        if request[2] == b"\x04" {
            continue;
        }
        assert_eq!((&*request[2], request.len()), (&b"\x02"[..], 6));
        request[2] = b"\x03".to_vec();
        request[5].insert(0, b'0' + u8::try_from(name).unwrap());
        let reply: Vec<&[u8]> = request.iter().map(Vec::as_slice).collect();
        send(&mut link, &reply).await;
    }
}

#[tokio::test]
async fn majordomo_clients_and_workers_meet_wherever_they_were_let_in() {
    bounded(async {
        let broker = Broker::start(&["--threads", "2"]);
        let services = services();
        let mut working = JoinSet::new();
        // Connections are dealt out in turn: of the two workers of each service one was let in by
        // either thread.
        for (name, service) in [0, 1, 1, 0].into_iter().enumerate() {
            let mut link = link(&broker.endpoint).await;
            let offered = services[service].as_bytes();
            send(&mut link, &[b"", b"MDPW01", b"\x01", offered]).await;
            working.spawn(work(link, name));
        }
        let client = Client::connect(&broker.endpoint).unwrap();
        crate::until(&client, |info| info["workers"] == 4).await;
        let mut clients = JoinSet::new();
        for n in 0..4_usize {
            let mut link = link(&broker.endpoint).await;
            let services = services.clone();
            clients.spawn(async move {
                let mut answered = [0; 4];
                for round in 0..16_usize {
                    // Two of them begin with the service at home where they are, two do not.
                    let at = (n / 2 + round) % 2;
                    let service = services[at].as_bytes();
                    let body = format!(" {n} {round}");
                    send(&mut link, &[b"", b"MDPC01", service, body.as_bytes()]).await;
                    let reply = heard(&mut link).await.unwrap();
                    assert_eq!(reply[..3], [&b""[..], b"MDPC01", service]);
                    assert_eq!(&reply[3][1..], body.as_bytes());
                    let worker = usize::from(reply[3][0] - b'0');
                    assert_eq!(at, [0, 1, 1, 0][worker], "a worker of this service");
                    answered[worker] += 1;
                }
                let service = services[1 - n / 2].as_bytes();
                send(&mut link, &[b"", b"MDPC01", b"mmi.service", service]).await;
                assert_eq!(heard(&mut link).await.unwrap()[3], b"200");
                answered
            });
        }
        let mut all = [0; 4];
        while let Some(answered) = clients.join_next().await {
            for (sum, n) in all.iter_mut().zip(answered.unwrap()) {
                *sum += n;
            }
        }
        assert_eq!(all.iter().sum::<i32>(), 64);
        assert!(all.iter().all(|answered| *answered > 0), "{all:?}");
        // Their connections end, and every thread notices.
        drop(working);
        crate::until(&client, |info| info["workers"] == 0).await;
        let seen = info(&client, "s0.info").await;
        assert_eq!(seen["counters"]["workers_left"], 4, "{seen}");
    })
    .await;
}

#[tokio::test]
async fn paths_of_this_machine_are_dealt_out_like_ports() {
    bounded(async {
        let directory = tempfile::tempdir().unwrap();
        let path = format!("ipc://{}", directory.path().join("broker").display());
        let arguments = ["--threads", "2", "--wait-for-worker", "50s"];
        let broker =
            Broker::with(&[&["--bind", &path, "tcp://127.0.0.1:0"], &arguments[..]].concat());
        assert_eq!(broker.endpoint, path);
        let bound = |line: &str| line.strip_prefix("bound ").unwrap().to_owned();
        let port = bound(&broker.process.stderr_line("bound tcp"));
        let services = services();
        let mut builder = Worker::builder(&path).unwrap().capacity(4);
        for service in &services {
            builder = builder.service(service, async |task: Task| Ok(task.into_body()));
        }
        let worker = hire(builder.build().unwrap());
        for n in 0..8_usize {
            let client = Client::connect([&path, &port][n / 4]).unwrap();
            for service in [&services[n / 2 % 2], &services[1 - n / 2 % 2]] {
                let body = format!("{n} {service}").repeat(1000);
                let reply = client.call(service, body.as_str()).await.unwrap();
                assert_eq!(reply.text(), body);
            }
        }
        dismiss(worker).await;
    })
    .await;
}
