//! zeromq.js, which is libzmq behind another language's habits.

use serde_json::{Value, json};

use crate::peers::{Node, Python};
use crate::process::{Broker, Process};
use crate::{Client, worker};

#[test]
fn a_javascript_client_reaches_a_javascript_worker_in_majordomo() {
    let Some(node) = Node::find() else {
        return;
    };
    let broker = Broker::start(&[]);
    let _worker = node.start("mdp01_worker.js", &[&broker.endpoint, "echo"]);
    let mut client = node.start("mdp01_client.js", &[&broker.endpoint, "echo", "a", "", "c"]);
    for body in ["a", "", "c"] {
        let reply: Value = serde_json::from_str(&client.line()).unwrap();
        assert_eq!(reply, json!(["MDPC01", "echo", "js", body]));
    }
    assert_eq!(client.finish().code, Some(0));
    let mut call = broker.scale0("call");
    let call = Process::start(call.args(["echo", "from us"])).finish();
    assert_eq!(call.stdout, "js\nfrom us\n", "{call:?}");
}

#[test]
fn javascript_and_python_understand_each_other_in_majordomo() {
    let (Some(python), Some(node)) = (Python::find(), Node::find()) else {
        return;
    };
    let broker = Broker::start(&[]);
    let _js = node.start("mdp01_worker.js", &[&broker.endpoint, "js"]);
    let _py = worker(&python, &broker.endpoint, "mdp02", "py", &[]);
    let mut client = Client::start(&python, &broker.endpoint, "zproto", &[]);
    assert_eq!(client.call("js", &["x", "y"]), json!(["js", "x", "y"]));
    let mut client = node.start("mdp01_client.js", &[&broker.endpoint, "py", "x"]);
    assert_eq!(client.line(), r#"["MDPC01","py","x"]"#);
}
