//! S0/1 by hand, for peers that do not follow the SDK's manners: a DEALER and the words.

use std::time::Duration;

use scale0::limits::Limits;
use scale0::protocol::Id;
use scale0::protocol::scale0::{Header, command, flag};
use scale0::socket::{Dealer, Options};
use scale0::wire::{Message, Properties};

/// A DEALER that is gone at once when it is dropped, and does not come back when it is cut.
pub(super) fn dial(endpoint: &str) -> Dealer {
    dial_ahead(endpoint, Options::default().receive_messages)
}

/// The same, which reads no more messages ahead than these.
pub(super) fn dial_ahead(endpoint: &str, messages: usize) -> Dealer {
    let dealer = Dealer::with(Options {
        receive_messages: messages,
        linger: Some(Duration::ZERO),
        reconnect: None,
        send_messages: 0,
        ..Options::default()
    });
    dealer.connect(endpoint).expect("an endpoint");
    dealer
}

/// A message, taken apart.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) command: u8,
    pub(super) flags: u8,
    pub(super) code: u16,
    pub(super) id: u64,
    pub(super) service: Vec<u8>,
    pub(super) body: Message,
}

pub(super) fn read(mut message: Message) -> Option<Heard> {
    let limits = Limits::default();
    let header = Header::read(message.first()?, &limits).ok()?;
    let (command, flags, code) = (header.command, header.flags, header.code);
    let (id, service) = (u64::from_be_bytes(header.id.0), header.name.to_vec());
    message.skip(1);
    Some(Heard {
        command,
        flags,
        code,
        id,
        service,
        body: message,
    })
}

pub(super) fn ask(service: &str, id: u64, ttl: Duration, idempotent: bool) -> Header<'_> {
    Header {
        flags: if idempotent { flag::IDEMPOTENT } else { 0 },
        ms: ttl.as_millis() as u32,
        id: number(id),
        name: service.as_bytes(),
        ..Header::of(command::TASK)
    }
}

pub(super) fn reply(token: u64, code: u16, more: bool) -> Header<'static> {
    Header {
        flags: if more { flag::MORE } else { 0 },
        code,
        id: number(token),
        properties: Properties::default(),
        ..Header::of(command::REPLY)
    }
}

pub(super) fn number(id: u64) -> Id {
    Id(id.to_be_bytes())
}
