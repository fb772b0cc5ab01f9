//! Options by libzmq's names.

use std::time::Duration;

use scale0::socket::{OptionError, Options, Reconnect};

/// Name, values that are taken, values that are not.
const TABLE: &[(&str, &[&str], &[&str])] = &[
    ("routing_id", &["a", "", "ünï"], &["\0a"]),
    ("identity", &["a"], &["\0"]),
    ("sndhwm", COUNTS, NO_COUNTS),
    ("rcvhwm", COUNTS, NO_COUNTS),
    (
        "linger",
        &["-1", "0", "1000"],
        &["-2", "x", "", "1.5", "1s"],
    ),
    ("immediate", FLAGS, NO_FLAGS),
    ("conflate", FLAGS, NO_FLAGS),
    ("router_mandatory", FLAGS, NO_FLAGS),
    ("router_handover", FLAGS, NO_FLAGS),
    ("probe_router", FLAGS, NO_FLAGS),
    ("req_relaxed", FLAGS, NO_FLAGS),
    ("req_correlate", FLAGS, NO_FLAGS),
    ("xpub_verbose", FLAGS, NO_FLAGS),
    ("xpub_verboser", FLAGS, NO_FLAGS),
    ("xpub_manual", FLAGS, NO_FLAGS),
    ("xpub_manual_last_value", FLAGS, NO_FLAGS),
    ("xpub_nodrop", FLAGS, NO_FLAGS),
    ("xpub_welcome_msg", TEXTS, &[]),
    ("xsub_verbose_unsubscribe", FLAGS, NO_FLAGS),
    ("invert_matching", FLAGS, NO_FLAGS),
    ("hello_msg", TEXTS, &[]),
    ("disconnect_msg", TEXTS, &[]),
    ("hiccup_msg", TEXTS, &[]),
    ("heartbeat_ivl", TIMES, NO_TIMES),
    ("heartbeat_timeout", TIMES, NO_TIMES),
    (
        "heartbeat_ttl",
        &["0", "99", "6553599"],
        &["6553600", "-1", "x"],
    ),
    ("reconnect_ivl", &["-1", "0", "100"], &["-2", "x", ""]),
    ("reconnect_ivl_max", TIMES, NO_TIMES),
    ("connect_timeout", TIMES, NO_TIMES),
    ("handshake_ivl", TIMES, NO_TIMES),
    ("maxmsgsize", &["-1", "0", "65536"], &["-2", "x", ""]),
    ("sndbuf", &["-1", "0", "65536"], &["-2", "x"]),
    ("rcvbuf", &["-1", "0", "65536"], &["-2", "x"]),
    ("backlog", &["0", "100"], &["-1", "x"]),
    ("tos", &["0", "255"], &["256", "-1", "x"]),
    ("tcp_keepalive", &["-1", "0", "1"], &["2", "x"]),
    ("tcp_keepalive_idle", SECONDS, NO_SECONDS),
    ("tcp_keepalive_intvl", SECONDS, NO_SECONDS),
    ("tcp_keepalive_cnt", &["-1", "1", "127"], &["0", "128", "x"]),
    (
        "metadata",
        &["X-a:b", "X-a:", "X-a:b:c"],
        &["a:b", "X-a", ""],
    ),
];
const FLAGS: &[&str] = &["0", "1"];
const NO_FLAGS: &[&str] = &["2", "-1", "true", ""];
const COUNTS: &[&str] = &["0", "1", "1000", "4294967295"];
const NO_COUNTS: &[&str] = &["-1", "x", "", "4294967296", "1.5"];
const TIMES: &[&str] = &["0", "1", "30000"];
const NO_TIMES: &[&str] = &["-1", "x", "", "1.5", "1s"];
const SECONDS: &[&str] = &["-1", "1", "32767"];
const NO_SECONDS: &[&str] = &["-2", "0", "32768", "x"];
const TEXTS: &[&str] = &["", "hello"];

/// One sentence that names the option, and ends without a stop as errors do.
fn is_clear(text: &str, name: &str) {
    assert!(text.contains(name), "{text}");
    assert!(!text.contains('\n') && !text.ends_with('.'), "{text}");
    assert!((20..200).contains(&text.len()), "{text}");
}

#[test]
fn every_option_takes_its_values_and_no_others() {
    for (name, good, bad) in TABLE {
        for value in *good {
            let set = Options::default().set(name, value);
            assert_eq!(set, Ok(()), "{name}={value}");
        }
        for value in *bad {
            let error = Options::default().set(name, value).unwrap_err();
            assert!(matches!(error, OptionError::Value { .. }), "{name}={value}");
            is_clear(&error.to_string(), name);
        }
    }
    assert!(
        Options::default()
            .set("identity", &"x".repeat(256))
            .is_err()
    );
    assert!(Options::default().set("identity", &"x".repeat(255)).is_ok());
}

#[test]
fn a_value_that_is_not_taken_changes_nothing() {
    for (name, _, bad) in TABLE {
        let mut options = Options::default();
        let before = format!("{options:?}");
        for value in *bad {
            let _ = options.set(name, value);
        }
        assert_eq!(format!("{options:?}"), before, "{name}");
    }
}

#[test]
fn every_option_changes_something() {
    for (name, good, _) in TABLE {
        let mut seen = std::collections::BTreeSet::from([format!("{:?}", Options::default())]);
        for value in *good {
            let mut options = Options::default();
            options.set(name, value).unwrap();
            seen.insert(format!("{options:?}"));
        }
        // HANDSHAKE_IVL and the like have a default of their own.
        assert!(seen.len() > 1 || *name == "reconnect_ivl_max", "{name}");
    }
}

#[test]
fn unknown_names_are_told() {
    for name in ["", "SNDHWM", "ZMQ_SNDHWM", "snd_hwm", "no such"] {
        let error = Options::default().set(name, "1").unwrap_err();
        assert!(matches!(error, OptionError::Unknown { .. }), "{name}");
        is_clear(&error.to_string(), name);
    }
}

#[test]
fn heartbeats_can_be_set_in_any_order() {
    let set = |names: [(&str, &str); 3]| {
        let mut options = Options::default();
        for (name, value) in names {
            options.set(name, value).unwrap();
        }
        options.heartbeat.unwrap()
    };
    let [a, b, c] = [
        ("heartbeat_ivl", "100"),
        ("heartbeat_timeout", "300"),
        ("heartbeat_ttl", "500"),
    ];
    let expected = set([a, b, c]);
    for order in [[a, c, b], [b, a, c], [b, c, a], [c, a, b], [c, b, a]] {
        assert_eq!(set(order), expected);
    }
    let mut options = Options::default();
    options.set("heartbeat_ivl", "100").unwrap();
    let heartbeat = options.heartbeat.unwrap();
    assert_eq!(heartbeat.timeout, heartbeat.interval);
}

#[test]
fn the_waits_of_reconnecting_can_be_set_in_any_order() {
    let set = |names: [(&str, &str); 2]| {
        let mut options = Options::default();
        for (name, value) in names {
            options.set(name, value).unwrap();
        }
        options.reconnect.unwrap()
    };
    for (first, longest) in [
        ("10", "200"),
        ("50", "0"),
        ("200", "10"),
        ("100", "30000"),
        // What stands there anyway.
        ("10", "5000"),
    ] {
        let [a, b] = [("reconnect_ivl", first), ("reconnect_ivl_max", longest)];
        let expected = Reconnect {
            first: Duration::from_millis(first.parse().unwrap()),
            longest: Duration::from_millis(longest.parse().unwrap()),
        };
        assert_eq!(set([a, b]), expected);
        assert_eq!(set([b, a]), expected);
    }
}

#[test]
fn what_is_left_to_the_system_turns_no_probes_on() {
    for name in [
        "tcp_keepalive_idle",
        "tcp_keepalive_intvl",
        "tcp_keepalive_cnt",
    ] {
        let mut options = Options::default();
        options.set("tcp_keepalive", "0").unwrap();
        options.set(name, "-1").unwrap();
        assert_eq!(options.transport.keepalive, None, "{name}");
        options.set(name, "7").unwrap();
        assert!(options.transport.keepalive.is_some(), "{name}");
    }
}

#[test]
fn the_first_wait_leaves_the_longest_alone() {
    let mut options = Options::default();
    let longest = options.reconnect.unwrap().longest;
    options.set("reconnect_ivl", "10").unwrap();
    assert_eq!(options.reconnect.unwrap().longest, longest);
}
