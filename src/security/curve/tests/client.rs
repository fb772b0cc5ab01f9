//! WELCOME and READY, as a client hears them.

use super::*;

/// [K1]
#[test]
fn a_welcome_of_any_other_size_is_malformed() {
    for len in (0..400).filter(|len| *len != 160) {
        let (mut client, hello) = client();
        let mut data = Host::of(&hello).good_welcome();
        assert_eq!(data.len() + 8, 168);
        data.resize(len, 0);
        let error = refusal(&mut client, WELCOME_, &data);
        assert_eq!(error, malformed("WELCOME", len));
    }
}

#[test]
fn a_welcome_opens_only_if_the_owner_of_the_key_wrote_it_for_this_connection() {
    let (_, hello) = client();
    let host = Host::of(&hello);
    let other = Host {
        client: keys(BRIEF).public,
        ..Host::of(&hello)
    };
    let mut nonce = host.good_welcome();
    nonce[0] ^= 1;
    let mut impostor = Vec::new();
    let key = shared(&keys(OTHER).secret, &host.client);
    seal_long(&key, WELCOME, [6; 16], &[7; 128], &mut impostor);
    let wrong = [
        nonce,
        impostor,
        other.good_welcome(),
        host.welcome(VOUCHED, &host.brief.public),
    ];
    for data in wrong {
        let (mut client, _) = client();
        assert_eq!(refusal(&mut client, WELCOME_, &data), sealed("WELCOME"));
    }
}

/// [K1]
#[test]
fn a_ready_that_is_too_small_or_changed_does_not_open() {
    let (_, host) = initiating();
    let good = host.good_ready();
    let mut wrong: Vec<Vec<u8>> = (0..good.len()).map(|len| good[..len].to_vec()).collect();
    wrong.extend((0..good.len()).map(|place| {
        let mut data = good.clone();
        data[place] ^= 1;
        data
    }));
    wrong.push(host.ready(INITIATE, 1, b""));
    wrong.push(host.ready(MESSAGE_OF_SERVER, 1, b""));
    let stranger = Host {
        brief: keys(OTHER),
        client: host.client,
    };
    wrong.push(stranger.good_ready());
    for data in wrong {
        let (mut client, _) = initiating();
        assert_eq!(refusal(&mut client, READY_, &data), sealed("READY"));
    }
}

#[test]
fn a_client_hears_each_command_in_its_own_state_only() {
    let names = [
        HELLO_,
        INITIATE_,
        WELCOME_,
        READY_,
        MESSAGE_,
        PING_,
        b"SUBSCRIBE",
        b"WELCOMF",
    ];
    for state in 0..3 {
        let at = |state| {
            let (mut client, hello) = client();
            let host = Host::of(&hello);
            for (name, data) in [(WELCOME_, host.good_welcome()), (READY_, host.good_ready())]
                .into_iter()
                .take(state)
            {
                tell(&mut client, name, &data).unwrap();
            }
            (client, host)
        };
        for name in names {
            let (mut client, host) = at(state);
            let right = [Some(WELCOME_), Some(READY_), None][state];
            let data = match name {
                READY_ => host.good_ready(),
                _ => host.good_welcome(),
            };
            match right == Some(name) {
                true => assert!(tell(&mut client, name, &data).is_ok()),
                false => assert_eq!(refusal(&mut client, name, &data), unexpected(name)),
            }
        }
        let (mut client, _) = at(state);
        let error = refusal(&mut client, ERROR_, b"\x03400");
        match state {
            0 | 1 => assert_eq!(error, gave_up()),
            _ => assert_eq!(error, unexpected(ERROR_)),
        }
    }
}
