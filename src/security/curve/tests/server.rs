//! HELLO and INITIATE, as a server hears them.

use super::*;

/// [K1]
#[test]
fn a_hello_of_any_other_size_is_malformed() {
    let good = Hello::default().write();
    assert_eq!(good.len() + 6, 200);
    for len in (0..600).filter(|len| *len != good.len()) {
        let mut data = good.clone();
        data.resize(len, 0);
        let error = refusal(&mut server(), HELLO_, &data);
        assert_eq!(error, malformed("HELLO", len));
    }
}

/// [K1]
#[test]
fn a_hello_of_another_version_is_refused() {
    for version in [[1, 1], [2, 0], [0, 0], [0, 1], [1, 255], [255, 0]] {
        let hello = Hello {
            version,
            ..Hello::default()
        };
        let error = refusal(&mut server(), HELLO_, &hello.write());
        assert_eq!(error, malformed("HELLO", 194), "{version:?}");
    }
}

/// [D15]
#[test]
fn a_hello_must_hold_zeros_to_the_last_byte() {
    for place in 0..64 {
        let mut inside = [0; 64];
        inside[place] = 1;
        let hello = Hello {
            inside,
            ..Hello::default()
        };
        let error = refusal(&mut server(), HELLO_, &hello.write());
        assert_eq!(error, sealed("HELLO"));
    }
}

#[test]
fn a_hello_opens_with_its_own_prefix_nonce_and_keys_only() {
    let hello = |change: &dyn Fn(&mut Hello)| {
        let mut hello = Hello::default();
        change(&mut hello);
        hello.write()
    };
    let mut nonce = hello(&|_| {});
    nonce[106 + 7] ^= 2;
    let mut key = hello(&|_| {});
    key[74..106].copy_from_slice(keys(CLIENT).public.as_bytes());
    let wrong = [
        nonce,
        key,
        hello(&|hello| hello.prefix = *INITIATE),
        hello(&|hello| hello.prefix = *MESSAGE_OF_CLIENT),
        hello(&|hello| hello.server = keys(OTHER).public),
        hello(&|hello| hello.brief = keys(OTHER).public),
    ];
    for data in wrong {
        assert_eq!(refusal(&mut server(), HELLO_, &data), sealed("HELLO"));
    }
}

#[test]
fn what_a_client_by_hand_says_is_understood_if_nothing_is_changed() {
    assert_eq!(initiate(|_| {}), asks());
}

/// [K1]
#[test]
fn an_initiate_of_less_than_257_bytes_is_malformed() {
    for len in 0..257 - 9 {
        let (mut server, welcome) = welcoming(server(), &Hello::default());
        let mut data = Initiate::new(welcome).write();
        data.truncate(len);
        let error = refusal(&mut server, INITIATE_, &data);
        assert_eq!(error, malformed("INITIATE", len));
    }
    // The smallest is read; that it says nothing is another matter.
    let told = initiate(|initiate| initiate.metadata.clear());
    assert_eq!(told, Err(Error::Wire(wire::Error::NoSocketType)));
}

#[test]
fn a_flipped_bit_anywhere_in_an_initiate_is_seen() {
    let (_, welcome) = welcoming(server(), &Hello::default());
    let good = Initiate::new(welcome).write();
    for place in 0..good.len() {
        let (mut server, _) = welcoming(server(), &Hello::default());
        let mut data = good.clone();
        data[place] ^= 0x40;
        let error = refusal(&mut server, INITIATE_, &data);
        assert_eq!(error, sealed("INITIATE"), "byte {place}");
    }
}

#[test]
fn a_cookie_is_good_on_its_own_connection_and_once() {
    let (_, welcome) = welcoming(server_with(7), &Hello::default());
    let theirs = Initiate::new(welcome);
    // Of another connection, with the key of this one; and all of it from the other one.
    let told = initiate(|initiate| initiate.cookie = theirs.cookie.clone());
    assert_eq!(told, Err(sealed("INITIATE")));
    let (mut server, _) = welcoming(server(), &Hello::default());
    let error = refusal(&mut server, INITIATE_, &theirs.write());
    assert_eq!(error, sealed("INITIATE"));
    // Nobody needs a cookie twice, let in or not.
    for admitted in [false, true] {
        let (mut server, welcome) = welcoming(self::server(), &Hello::default());
        let data = Initiate::new(welcome).write();
        tell(&mut server, INITIATE_, &data).unwrap();
        if admitted {
            server.admit(&mut Vec::new()).unwrap();
        }
        let error = refusal(&mut server, INITIATE_, &data);
        assert_eq!(error, unexpected(INITIATE_));
    }
}

/// [K2]
#[test]
fn the_nonce_of_an_initiate_is_greater_than_that_of_its_hello() {
    let hello = |nonce| Hello {
        nonce,
        ..Hello::default()
    };
    for (first, second, good) in [
        (1, 2, true),
        (1, 1, false),
        (1, 0, false),
        (0, 0, false),
        (5, 4, false),
        (5, 1000, true),
        (u64::MAX, 1, false),
        (u64::MAX, u64::MAX, false),
    ] {
        let (mut server, welcome) = welcoming(server(), &hello(first));
        let mut initiate = Initiate::new(welcome);
        initiate.nonce = second;
        let told = tell(&mut server, INITIATE_, &initiate.write());
        match good {
            true => assert_eq!(told.map(|told| told.0).map_err(|told| told.0), asks()),
            false => assert_eq!(told, Err((Error::Replayed, Vec::new()))),
        }
    }
}

/// [D15]: both halves, by its own key, for this connection of ours.
#[test]
fn a_vouch_names_this_connection_and_this_server_and_is_sealed_by_the_key_that_comes() {
    let (brief, long) = (keys(BRIEF).public, keys(SERVER).public);
    let other = keys(OTHER);
    let to = |secret: &SecretKey, initiate: &Initiate| shared(secret, &initiate.server);
    let own = keys(CLIENT).secret;
    type Change<'a> = Box<dyn Fn(&mut Initiate) + 'a>;
    let changes: Vec<(&str, Change<'_>)> = vec![
        (
            "another server",
            Box::new(|i| i.vouch = vouch(&to(&own, i), VOUCHED, &brief, &other.public)),
        ),
        (
            "the server's key of the connection instead of the one that is known",
            Box::new(|i| i.vouch = vouch(&to(&own, i), VOUCHED, &brief, &i.server)),
        ),
        (
            "another connection",
            Box::new(|i| i.vouch = vouch(&to(&own, i), VOUCHED, &other.public, &long)),
        ),
        (
            "both halves in the wrong order",
            Box::new(|i| i.vouch = vouch(&to(&own, i), VOUCHED, &long, &brief)),
        ),
        (
            "another key than it is sealed with",
            Box::new(|i| i.vouch = vouch(&to(&other.secret, i), VOUCHED, &brief, &long)),
        ),
        ("somebody else's key", Box::new(|i| i.key = other.public)),
        (
            "the connection's own key, which proves nothing of another",
            Box::new(|i| {
                i.vouch = vouch(&to(&keys(BRIEF).secret, i), VOUCHED, &brief, &long);
            }),
        ),
        (
            "the server's long-term key to seal for",
            Box::new(|i| i.vouch = vouch(&shared(&own, &long), VOUCHED, &brief, &long)),
        ),
        (
            "another prefix",
            Box::new(|i| i.vouch = vouch(&to(&own, i), WELCOME, &brief, &long)),
        ),
        ("another nonce", Box::new(|i| i.vouch[0] ^= 1)),
        ("zeros", Box::new(|i| i.vouch = vec![0; VOUCH])),
    ];
    for (what, change) in changes {
        assert_eq!(initiate(change), Err(sealed("INITIATE")), "{what}");
    }
}

#[test]
fn an_initiate_opens_with_its_own_prefix_only() {
    for prefix in [HELLO, READY, MESSAGE_OF_CLIENT] {
        let told = initiate(|initiate| initiate.prefix = *prefix);
        assert_eq!(told, Err(sealed("INITIATE")));
    }
}

#[test]
fn a_server_hears_each_command_in_its_own_state_only() {
    let names = [
        HELLO_,
        INITIATE_,
        WELCOME_,
        READY_,
        MESSAGE_,
        PING_,
        b"SUBSCRIBE",
        b"HELLX",
        b"hello",
    ];
    for state in 0..4 {
        let at = |state| {
            let mut server = server();
            let mut data = Hello::default().write();
            if state > 0 {
                let (welcoming, welcome) = welcoming(server, &Hello::default());
                server = welcoming;
                data = Initiate::new(welcome).write();
            }
            if state > 1 {
                tell(&mut server, INITIATE_, &data).unwrap();
            }
            if state > 2 {
                server.admit(&mut Vec::new()).unwrap();
            }
            (server, data)
        };
        for name in names {
            let (mut server, data) = at(state);
            let right = [Some(HELLO_), Some(INITIATE_), None, None][state];
            match right == Some(name) {
                true => assert!(tell(&mut server, name, &data).is_ok()),
                false => assert_eq!(refusal(&mut server, name, &data), unexpected(name)),
            }
        }
        let (mut server, _) = at(state);
        let error = refusal(&mut server, ERROR_, b"\x03400");
        match state {
            0 | 1 => assert_eq!(error, gave_up()),
            _ => assert_eq!(error, unexpected(ERROR_), "the session is its reader then"),
        }
    }
}

#[test]
fn who_was_not_asked_about_cannot_be_admitted() {
    let mut server = server();
    let mut out = Vec::new();
    assert_eq!(server.admit(&mut out), Err(Error::Undecided));
    let (mut server, _) = welcoming(self::server(), &Hello::default());
    assert_eq!(server.admit(&mut out), Err(Error::Undecided));
    let (mut client, _) = initiating();
    assert_eq!(client.admit(&mut out), Err(Error::Undecided));
    assert_eq!(out, b"");
}
