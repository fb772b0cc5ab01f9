//! Implementations and languages other than pyzmq: a few pairs each.

use scale0::socket::SocketType::{self, Dealer, Pair, Pub, Pull, Push, Rep, Req, Router, Sub};
use scale0::socket::{Event, Socket};

use crate::conversation::{Binds, Conversation, event, line};
use crate::mechanism::Mechanism;
use crate::peers::{Compiled, Node, Python};
use crate::process::Process;
use crate::role::{Implementation, Shape, some};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zeromq_js_talks_with_every_type() {
    let Some(node) = Node::find() else {
        return;
    };
    hold(&Implementation::Node(node), &PAIRS, &WITHOUT_ZAP, &some()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_c_program_over_libzmq_talks_with_every_type() {
    if let Some(program) = Compiled::c() {
        hold(&program_at(&program), &PAIRS, &WITHOUT_ZAP, &some()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn czmq_talks_with_every_type() {
    if let Some(program) = Compiled::czmq() {
        hold(&program_at(&program), &PAIRS, &WITHOUT_ZAP, &some()).await;
    }
}

/// JeroMQ as Debian has it speaks ZMTP 2.0 at most, which is refused: a version without
/// mechanisms is a way around them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_jeromq_is_refused_and_the_others_are_served() {
    let (Some(classes), Some(python)) = (Compiled::java(), Python::find()) else {
        return;
    };
    let router = Socket::new(Router);
    let mut monitor = router.monitor();
    let endpoint = router.bind("tcp://127.0.0.1:*").await.unwrap().to_string();
    let mut java = std::process::Command::new("java");
    let mut old = Process::start(java.args(["-cp", &classes, "Old", &endpoint, "1000"]));
    assert_eq!(line(&mut old), "sent");
    let failed = |event: &Event| matches!(event, Event::HandshakeFailed { .. }).then_some(());
    event(&mut monitor, failed).await;
    let connect = format!("connect={endpoint}");
    let words = ["type=DEALER", "mode=ask", "shapes=5x2", &connect];
    let mut good = python.start("role.py", &words);
    let message = router.recv().await.unwrap();
    assert_eq!(message.count(), 3, "of the good one");
    router.send(message).await.unwrap();
    assert_eq!(line(&mut good), "connecting");
    assert_eq!(line(&mut good), "5x2");
    assert_eq!(line(&mut old), "nothing");
    assert!(matches!(router.try_recv(), Ok(None)));
}

/// Builds three other implementations first, which takes minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "builds tests/rust_peers first, which takes minutes"]
async fn omq_rzmq_and_zeromq_rs_talk_with_us() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = root.join("target/rust_peers");
    let mut cargo = std::process::Command::new(env!("CARGO"));
    cargo.args(["build", "--locked", "--manifest-path"]);
    cargo.arg(root.join("tests/rust_peers/Cargo.toml"));
    // Away from the settings with which the product is built.
    cargo.current_dir("/").arg("--target-dir").arg(&target);
    assert!(cargo.status().unwrap().success());
    let program = target.join("debug/rust_peers");
    for implementation in ["omq", "rzmq", "zeromq"] {
        println!("{implementation}");
        let program = vec![program.display().to_string(), implementation.to_owned()];
        let program = Implementation::Program(program);
        if implementation == "rzmq" {
            // Its REQ answers `send_multipart` with "REQ sockets use send() for single-part
            // requests".
            let rest: Vec<_> = FEW.into_iter().filter(|pair| *pair != (Rep, Req)).collect();
            hold(&program, &rest, &[Mechanism::Null], &some()).await;
            let single: Vec<Shape> = some().into_iter().filter(|s| s.parts == 1).collect();
            hold(&program, &[(Rep, Req)], &[Mechanism::Null], &single).await;
        } else {
            hold(&program, &FEW, &[Mechanism::Null], &some()).await;
        }
    }
}

fn program_at(path: &std::path::Path) -> Implementation {
    Implementation::Program(vec![path.display().to_string()])
}

/// Every pair, whoever binds, and whatever the mechanism.
async fn hold(
    with: &Implementation,
    pairs: &[(SocketType, SocketType)],
    mechanisms: &[Mechanism],
    shapes: &[Shape],
) {
    let mechanisms = mechanisms
        .iter()
        .flat_map(|m| pairs.iter().map(move |pair| (*m, *pair)));
    for (mechanism, (ours, theirs)) in mechanisms {
        for binds in [Binds::Ours, Binds::Theirs] {
            let conversation = Conversation {
                with,
                mechanism,
                ours,
                theirs,
                binds,
                endpoint: match binds {
                    Binds::Ours => "tcp://127.0.0.1:*",
                    Binds::Theirs => "tcp://127.0.0.1:0",
                },
                shapes,
            };
            conversation.hold().await;
        }
    }
}

/// Without a ZAP handler libzmq's PLAIN server lets nobody in, and its CURVE server everybody.
const WITHOUT_ZAP: [Mechanism; 4] = [
    Mechanism::Null,
    Mechanism::PlainServer,
    Mechanism::CurveClient,
    Mechanism::CurveServer,
];
/// Ours first.
const PAIRS: [(SocketType, SocketType); 9] = [
    (Req, Rep),
    (Rep, Req),
    (Dealer, Router),
    (Router, Dealer),
    (Pub, Sub),
    (Sub, Pub),
    (Push, Pull),
    (Pull, Push),
    (Pair, Pair),
];
const FEW: [(SocketType, SocketType); 8] = [
    (Req, Rep),
    (Rep, Req),
    (Dealer, Router),
    (Router, Dealer),
    (Pub, Sub),
    (Sub, Pub),
    (Push, Pull),
    (Pull, Push),
];
