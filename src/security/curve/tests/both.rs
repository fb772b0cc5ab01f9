//! What is the same on both sides: keys, metadata, ERROR.

use super::*;

/// [K6], test_security_curve null_client_public: with these everybody agrees on zeros.
#[test]
fn keys_of_low_order_are_refused_in_every_place() {
    for key in worthless() {
        // C'
        let hello = Hello {
            brief: key,
            ..Hello::default()
        };
        let error = refusal(&mut server(), HELLO_, &hello.write());
        assert_eq!(error, Error::WorthlessKey, "C' {key}");
        // C, with a vouch that opens with what comes of it.
        let told = initiate(|initiate| {
            let (brief, server) = (keys(BRIEF).public, keys(SERVER).public);
            initiate.key = key;
            initiate.vouch = vouch(&[0; 32], VOUCHED, &brief, &server);
        });
        assert_eq!(told, Err(Error::WorthlessKey), "C {key}");
        // S'
        let (mut client, hello) = client();
        let welcome = Host::of(&hello).welcome(WELCOME, &key);
        let error = refusal(&mut client, WELCOME_, &welcome);
        assert_eq!(error, Error::WorthlessKey, "S' {key}");
        // S, as a client was configured.
        let ours = Metadata::of(SocketType::Dealer);
        let mut client = CurveClient::new(keys(CLIENT), key, ours, Limits::default(), [1; 32]);
        let mut out = Vec::new();
        assert_eq!(client.begin(&mut out), Err(Error::WorthlessKey), "S {key}");
        assert_eq!(out, b"");
    }
}

fn property(name: &str, len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    wire::push_property(name, &vec![b'x'; len], &mut out);
    out
}

/// Metadata, and whether it is within the limits.
fn metadata() -> Vec<(Vec<u8>, bool)> {
    let kind = |kind: &[u8]| {
        let mut out = Vec::new();
        wire::push_property("Socket-Type", kind, &mut out);
        out
    };
    let kind_and = |what: Vec<u8>| [kind(b"ROUTER"), what].concat();
    let room = Limits::default().metadata - kind(b"ROUTER").len() - property("X-a", 0).len();
    vec![
        (kind_and(property("X-a", 0).repeat(63)), true),
        (kind_and(property("X-a", 0).repeat(64)), false),
        (kind_and(property("X-a", room)), true),
        (kind_and(property("X-a", room + 1)), false),
        (kind_and(property("Identity", 255)), true),
        (kind_and(property("Identity", 256)), false),
        (kind_and(property("X-a", 5)[..8].to_vec()), false),
        (kind_and(vec![0]), false),
        (kind_and(b"\x03X-a\xff\xff\xff\xff".to_vec()), false),
        (kind(b"NOBODY"), false),
        (Vec::new(), false),
    ]
}

/// [K3], CVE-2019-13132.
#[test]
fn metadata_within_the_boxes_has_the_bounds_of_all_metadata() {
    for (nth, (metadata, good)) in metadata().into_iter().enumerate() {
        let told = initiate(|initiate| initiate.metadata = metadata.clone());
        match good {
            true => assert_eq!(told, asks(), "{nth}"),
            false => assert!(matches!(told, Err(Error::Wire(_))), "{nth}: {told:?}"),
        }
        let (mut client, host) = initiating();
        let told = tell(&mut client, READY_, &host.ready(READY, 1, &metadata));
        match good {
            true => assert!(matches!(told, Ok((Step::Done(_), _))), "{nth}: {told:?}"),
            false => {
                assert!(matches!(told, Err((Error::Wire(_), _))), "{nth}: {told:?}");
                assert!(client.channel().is_none());
            }
        }
    }
}

#[test]
fn an_error_is_read_within_its_frame() {
    for data in [&b""[..], b"\x04400", b"\x02400", b"400", b"\xff"] {
        let (mut client, _) = client();
        let error = refusal(&mut client, ERROR_, data);
        assert!(matches!(error, Error::Wire(_)), "{error:?}");
        let error = refusal(&mut server(), ERROR_, data);
        assert!(matches!(error, Error::Wire(_)), "{error:?}");
    }
}
