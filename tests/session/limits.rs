//! Every bound at its limit and one beyond, and nothing stored for what may not come.

use scale0::limits::Limits;
use scale0::security;
use scale0::session::{Config, Error};
use scale0::wire::{self, Header, Metadata, PropertyError, SocketType, push_property};

use crate::rig::{End, command, frame, greeting, header};

fn limited(set: impl FnOnce(&mut Limits)) -> Config {
    let mut config = Config::new(SocketType::Router);
    set(&mut config.limits);
    config
}

fn router(set: impl FnOnce(&mut Limits)) -> End {
    End::open(limited(set), 1, SocketType::Dealer)
}

/// Feeds `bytes` at once and byte by byte: either way they are fine, or fail like this.
fn check(end: impl Fn() -> End, bytes: &[u8], error: Option<Error>) -> End {
    let mut whole = end();
    whole.feed(bytes);
    assert_eq!(whole.error, error);
    let mut cut = end();
    cut.feed_in_pieces(bytes, &vec![1; bytes.len()]);
    assert_eq!(cut.error, error);
    assert_eq!(cut.heard, whole.heard);
    whole
}

#[test]
fn a_frame_has_its_limit() {
    let end = || router(|limits| limits.frame = 1000);
    assert_eq!(
        check(end, &frame(false, &[0; 1000]), None).messages().len(),
        1
    );
    let limit = 1000;
    for size in [1001, 1 << 40, i64::MAX as u64] {
        let error = wire::Error::FrameTooLong { size, limit };
        check(end, &header(false, false, size), Some(Error::Wire(error)));
    }
}

#[test]
fn sizes_beyond_63_bits_are_illegal_whatever_the_limits() {
    let end = || {
        router(|limits| {
            limits.frame = usize::MAX;
            limits.message = usize::MAX;
            limits.command = usize::MAX;
        })
    };
    for size in [1 << 63, u64::MAX] {
        for command in [false, true] {
            let limit = usize::MAX;
            let error = wire::Error::FrameTooLong { size, limit };
            check(end, &header(false, command, size), Some(Error::Wire(error)));
        }
    }
}

#[test]
fn a_message_has_its_limit_over_all_parts() {
    let end = || {
        router(|limits| {
            limits.frame = 600;
            limits.message = 1000;
        })
    };
    let parts = |last: usize| {
        [
            frame(true, &[1; 600]),
            frame(true, b""),
            frame(false, &vec![2; last]),
        ]
        .concat()
    };
    // Twice: the count begins anew with each message.
    let fine = [parts(400), parts(400)].concat();
    assert_eq!(check(end, &fine, None).messages().len(), 2);
    let (size, limit) = (1001, 1000);
    let error = wire::Error::MessageTooLong { size, limit };
    check(end, &parts(401), Some(Error::Wire(error)));
}

#[test]
fn a_message_has_its_limit_of_parts() {
    let end = || router(|limits| limits.parts = 7);
    let parts = |n: usize| {
        let mut bytes = frame(true, b"").repeat(n - 1);
        bytes.extend(frame(false, b""));
        bytes
    };
    let fine = [parts(7), parts(1), parts(7)].concat();
    assert_eq!(check(end, &fine, None).messages().len(), 3);
    let error = wire::Error::TooManyParts { limit: 7 };
    check(end, &parts(8), Some(Error::Wire(error)));
}

#[test]
fn a_command_has_its_limit() {
    let end = || router(|limits| limits.command = 300);
    let sized = |size: usize| command(b"NAME", &vec![0; size - 5]);
    let fine = [sized(300), sized(300)].concat();
    assert_eq!(check(end, &fine, None).heard.len(), 2);
    let (size, limit) = (301, 300);
    let error = wire::Error::FrameTooLong { size, limit };
    check(end, &sized(301), Some(Error::Wire(error)));
}

#[test]
fn metadata_has_its_limits() {
    let base = Metadata::of(SocketType::Dealer).write();
    let filled = |len: usize| {
        let mut metadata = base.clone();
        push_property("X", &vec![0; len - base.len() - 6], &mut metadata);
        assert_eq!(metadata.len(), len);
        [greeting(1), command(b"READY", &metadata)].concat()
    };
    let end = || End::new(limited(|limits| limits.metadata = 500));
    assert!(check(end, &filled(500), None).session.is_open());
    let (size, limit) = (501, 500);
    let error = property(PropertyError::TooLong { size, limit });
    check(end, &filled(501), Some(error));

    let many = |n: usize| {
        let mut metadata = base.clone();
        (0..n).for_each(|_| push_property("X", b"", &mut metadata));
        [greeting(1), command(b"READY", &metadata)].concat()
    };
    let end = || End::new(limited(|limits| limits.metadata_properties = 5));
    assert!(check(end, &many(3), None).session.is_open());
    let error = property(PropertyError::TooMany { limit: 5 });
    check(end, &many(4), Some(error));
}

fn property(error: PropertyError) -> Error {
    Error::Security(security::Error::Wire(wire::Error::Property(error)))
}

#[test]
fn a_declared_length_reserves_nothing() {
    // Reserving this much would abort the test.
    let size = 1 << 62;
    let mut end = router(|limits| {
        limits.frame = usize::MAX;
        limits.message = usize::MAX;
        limits.command = usize::MAX;
    });
    end.feed(&header(true, false, 3));
    end.feed(b"abc");
    end.feed(&header(false, false, size));
    end.feed(b"only this");
    assert_eq!(end.error, None);
    assert_eq!(end.session.partial(), 2 + 3 + Header::MAX + 9);

    let mut end = router(|limits| limits.command = usize::MAX);
    end.feed(&header(false, true, size));
    end.feed(b"\x04PING");
    assert_eq!(end.error, None);
    assert_eq!(end.session.partial(), 5);

    let mut end = End::new(limited(|limits| limits.handshake = usize::MAX));
    end.feed(&greeting(1));
    end.feed(&header(false, true, size));
    end.feed(b"\x05READY");
    assert_eq!(end.error, None);
    assert_eq!(end.session.partial(), 6);
}

#[test]
fn what_is_kept_is_what_has_arrived() {
    let mut end = router(|_| {});
    let head = header(false, false, 8 << 20);
    end.feed(&head);
    for n in 1..128 {
        end.feed(&vec![0; 64 << 10]);
        assert_eq!(end.session.partial(), head.len() + n * (64 << 10));
    }
    end.feed(&vec![0; 64 << 10]);
    assert_eq!(end.session.partial(), 0, "a finished message is not ours");
    assert_eq!(end.messages().len(), 1);
}

#[test]
fn nothing_is_kept_of_a_frame_that_is_too_long() {
    let mut end = router(|limits| limits.frame = 10);
    let mut bytes = header(false, false, 11);
    bytes.extend([0; 11]);
    end.feed(&bytes);
    assert!(end.error.is_some());
    assert_eq!(end.session.partial(), 0);
}

#[test]
fn a_session_that_is_over_keeps_nothing() {
    let mut end = router(|_| {});
    end.feed(&frame(true, &[0; 100_000]));
    assert!(end.session.partial() > 100_000);
    end.feed(&[5, 0]);
    assert!(end.error.is_some());
    assert_eq!(end.session.partial(), 0);
}
