//! What can be typed behind `scale0 cat`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use scale0::wire::{Endpoint, SocketType};

use crate::commands::target;
use crate::exit::Failed;
use crate::security::ClientSecurity;
use crate::units::Span;

#[derive(Args, Debug)]
#[command(
    group = clap::ArgGroup::new("where").required(true).multiple(true),
    // What takes several values would take the type, too.
    override_usage = "scale0 cat <TYPE> <--bind <ENDPOINT>...|--connect <ENDPOINT>...> [OPTIONS]"
)]
pub(crate) struct CatArguments {
    /// The socket's type; case does not count
    #[arg(value_name = "TYPE", ignore_case = true, value_parser = kinds())]
    pub(crate) kind: SocketType,
    /// Listen here; `bound ENDPOINT` is written on stderr as soon as the port listens
    #[arg(long, value_name = "ENDPOINT", num_args = 1.., group = "where")]
    pub(crate) bind: Vec<Endpoint>,
    /// Connect to this, again and again if need be
    #[arg(long, value_name = "ENDPOINT", num_args = 1.., group = "where", value_parser = target)]
    pub(crate) connect: Vec<Endpoint>,
    /// For SUB and XSUB: receive what begins with this; "" is everything
    #[arg(long, value_name = "TOPIC", num_args = 1..)]
    pub(crate) subscribe: Vec<OsString>,
    /// The name under which ROUTER peers know this socket
    #[arg(long, value_name = "ID")]
    pub(crate) identity: Option<String>,
    #[command(flatten)]
    pub(crate) security: ClientSecurity,
    /// CURVE: be the server, whose keys --curve-secret names, and let those in whose *.key files are
    /// in this directory; `any` admits everybody
    #[arg(
        long,
        value_name = "DIR",
        help_heading = "Security",
        requires = "curve_secret",
        conflicts_with_all = ["curve_server_key", "plain_user"]
    )]
    pub(crate) authorized_clients: Option<PathBuf>,
    /// PLAIN: be the server, and let the users of this file in, which `scale0 passwd` makes
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Security",
        conflicts_with_all = ["curve_server_key", "curve_secret", "plain_user"]
    )]
    pub(crate) plain: Option<PathBuf>,
    /// With --plain: let passwords be sent in the clear between machines
    #[arg(long, help_heading = "Security", requires = "plain")]
    pub(crate) allow_plain_remote: bool,
    /// A socket option by its libzmq name in lower case without ZMQ_, and its value as there:
    /// sndhwm=10, linger=0, router_mandatory=1
    #[arg(long, value_name = "NAME=VALUE", value_parser = option)]
    pub(crate) option: Vec<(String, String)>,
    /// Lines are arrays of frames: ["text",{"hex":"00ff"}]
    #[arg(long)]
    pub(crate) json: bool,
    /// For REP, DEALER, ROUTER and PAIR: answer what arrives with itself, and leave stdin alone
    #[arg(long)]
    pub(crate) echo: bool,
    /// End after N messages: sent ones for PUSH, PUB and XPUB, answered ones with --echo, received
    /// ones for all others; sent or received ones for DEALER and PAIR
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End after this time at the latest, with exit code 3
    #[arg(long, value_name = "D")]
    pub(crate) timeout: Option<Span>,
    /// Tell on stderr what happens to connections
    #[arg(long)]
    pub(crate) monitor: bool,
    /// Tell on stderr every frame and command that passes, with its bytes explained
    #[arg(long)]
    pub(crate) trace: bool,
}

impl CatArguments {
    /// Refuses what no socket of this type can do.
    pub(crate) fn check(&self) -> Result<(), Failed> {
        use SocketType::{Dealer, Pair, Rep, Router, Sub, Xsub};
        let kind = self.kind;
        if !self.subscribe.is_empty() && !matches!(kind, Sub | Xsub) {
            return Err(Failed::usage(format_args!(
                "{kind} does not subscribe: --subscribe is for SUB and XSUB"
            )));
        }
        if self.echo && !matches!(kind, Rep | Dealer | Router | Pair) {
            return Err(Failed::usage(format_args!(
                "{kind} does not answer: --echo is for REP, DEALER, ROUTER and PAIR"
            )));
        }
        Ok(())
    }
}

/// The types by name, which completions know and errors list.
fn kinds() -> impl TypedValueParser<Value = SocketType> {
    let names = SocketType::ALL.map(SocketType::name);
    PossibleValuesParser::new(names).try_map(|name| {
        let read = SocketType::read(name.to_ascii_uppercase().as_bytes());
        read.ok_or("no socket type")
    })
}

fn option(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it like sndhwm=10".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        cat: CatArguments,
    }

    fn typed(words: &str) -> Result<CatArguments, String> {
        let words = std::iter::once("cat").chain(words.split(' '));
        let typed = Only::try_parse_from(words);
        typed
            .map(|only| only.cat)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn types_are_read_in_any_case() {
        for kind in SocketType::ALL {
            for name in [kind.name().to_owned(), kind.name().to_lowercase()] {
                let typed = typed(&format!("{name} --bind tcp://127.0.0.1:0")).unwrap();
                assert_eq!(typed.kind, kind);
            }
        }
        assert!(
            typed("stream --bind ipc:///a")
                .unwrap_err()
                .contains("DEALER")
        );
    }

    #[test]
    fn endpoints_and_topics_take_several_values_and_may_be_repeated() {
        let typed = typed(
            "sub --bind ipc:///a ipc:///b --connect ipc:///c --bind ipc:///d --connect ipc:///e --subscribe x y --subscribe z",
        );
        let typed = typed.unwrap();
        assert_eq!(typed.bind.len(), 3);
        assert_eq!(typed.connect.len(), 2);
        assert_eq!(typed.subscribe, ["x", "y", "z"]);
    }

    #[test]
    fn there_is_somewhere_to_bind_or_to_connect_to() {
        assert!(typed("pull").unwrap_err().contains("--bind"));
        assert!(typed("pull --connect ipc:///a --bind ipc:///b").is_ok());
    }

    #[test]
    fn nobody_can_be_connected_to_at_any_port() {
        for endpoint in ["tcp://127.0.0.1:0", "tcp://127.0.0.1:*", "tcp://*:5"] {
            assert!(typed(&format!("pull --bind {endpoint}")).is_ok());
            let refused = typed(&format!("pull --connect {endpoint}")).unwrap_err();
            assert!(refused.contains("for binding only"), "{refused}");
        }
    }

    #[test]
    fn what_a_type_cannot_do_is_refused() {
        let refused = |words| typed(words).unwrap().check().is_err();
        assert!(refused("pull --bind ipc:///a --subscribe x"));
        assert!(!refused("xsub --bind ipc:///a --subscribe x"));
        for kind in SocketType::ALL {
            let answers = ["REP", "DEALER", "ROUTER", "PAIR"].contains(&kind.name());
            let words = format!("{kind} --bind ipc:///a --echo");
            assert_eq!(typed(&words).unwrap().check().is_ok(), answers, "{kind}");
        }
    }

    #[test]
    fn an_option_is_a_name_and_a_value() {
        let typed_option = |text| typed(&format!("pull --bind ipc:///a --option {text}"));
        assert_eq!(
            typed_option("plain_password=a=b").unwrap().option,
            [("plain_password".to_owned(), "a=b".to_owned())]
        );
        assert!(typed_option("sndhwm").is_err() && typed_option("=1").is_err());
    }
}
