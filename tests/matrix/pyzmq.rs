//! The matrix against libzmq, through pyzmq.

use scale0::socket::SocketType::{self, *};

use crate::conversation::{Binds, Conversation};
use crate::mechanism::Mechanism;
use crate::peers::Python;
use crate::role::{Implementation, Shape, all, some};

/// Every shape, whoever binds, whatever the mechanism.
async fn tcp(ours: SocketType, theirs: SocketType) {
    for mechanism in Mechanism::ALL {
        // Once a handshake of PLAIN is done, its frames are those of NULL.
        let shapes = match mechanism {
            Mechanism::PlainClient | Mechanism::PlainServer => some(),
            _ => all(),
        };
        hold(ours, theirs, mechanism, "tcp://127.0.0.1:*", &shapes).await;
    }
}

async fn ipc(ours: SocketType, theirs: SocketType) {
    for name in ["with a space", "@scale0-matrix"] {
        let directory = tempfile::tempdir().unwrap();
        let endpoint = match name.strip_prefix('@') {
            Some(_) => format!("ipc://{name}-{}-{ours:?}", std::process::id()),
            None => format!("ipc://{}/{name}", directory.path().display()),
        };
        for mechanism in Mechanism::ALL {
            hold(ours, theirs, mechanism, &endpoint, &some()).await;
        }
    }
}

async fn hold(
    ours: SocketType,
    theirs: SocketType,
    mechanism: Mechanism,
    endpoint: &str,
    shapes: &[Shape],
) {
    // libzmq's REQ takes the user that its own ZAP handler names for a part of the reply, and
    // closes: two of libzmq's cannot do it either.
    if theirs == Req && matches!(mechanism, Mechanism::PlainClient | Mechanism::CurveClient) {
        return;
    }
    let Some(python) = Python::find() else {
        return;
    };
    let with = &Implementation::Python(python);
    for binds in [Binds::Ours, Binds::Theirs] {
        let conversation = Conversation {
            with,
            mechanism,
            ours,
            theirs,
            binds,
            endpoint,
            shapes,
        };
        conversation.hold().await;
    }
}

macro_rules! pairs {
    ($($name:ident: $over:ident $ours:ident $theirs:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            $over($ours, $theirs).await;
        }
    )*};
}

// Our type first.
pairs! {
    every_message_passes_between_req_and_rep: tcp Req Rep;
    every_message_passes_between_req_and_router: tcp Req Router;
    every_message_passes_between_rep_and_req: tcp Rep Req;
    every_message_passes_between_rep_and_dealer: tcp Rep Dealer;
    every_message_passes_between_dealer_and_rep: tcp Dealer Rep;
    every_message_passes_between_dealer_and_dealer: tcp Dealer Dealer;
    every_message_passes_between_dealer_and_router: tcp Dealer Router;
    every_message_passes_between_router_and_req: tcp Router Req;
    every_message_passes_between_router_and_dealer: tcp Router Dealer;
    every_message_passes_between_router_and_router: tcp Router Router;
    every_message_passes_between_pub_and_sub: tcp Pub Sub;
    every_message_passes_between_pub_and_xsub: tcp Pub Xsub;
    every_message_passes_between_xpub_and_sub: tcp Xpub Sub;
    every_message_passes_between_xpub_and_xsub: tcp Xpub Xsub;
    every_message_passes_between_sub_and_pub: tcp Sub Pub;
    every_message_passes_between_sub_and_xpub: tcp Sub Xpub;
    every_message_passes_between_xsub_and_pub: tcp Xsub Pub;
    every_message_passes_between_xsub_and_xpub: tcp Xsub Xpub;
    every_message_passes_between_push_and_pull: tcp Push Pull;
    every_message_passes_between_pull_and_push: tcp Pull Push;
    every_message_passes_between_pair_and_pair: tcp Pair Pair;

    ipc_carries_req_and_rep: ipc Req Rep;
    ipc_carries_router_and_dealer: ipc Router Dealer;
    ipc_carries_pub_and_sub: ipc Pub Sub;
    ipc_carries_pull_and_push: ipc Pull Push;
}
