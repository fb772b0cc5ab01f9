//! One frame, explained: a part of a message, or a command by its name.

use super::text::{bytes, hex, quoted, quoted_part, size};
use super::{COMMAND, LONG, MORE, SHOWN};

/// What the frames before have told about this direction.
#[derive(Debug, Default)]
pub(super) struct Context {
    /// The mechanism's name, without the padding.
    pub(super) mechanism: Vec<u8>,
    /// The speaker's last word of the handshake has come.
    open: bool,
    /// The speaker is a SUB or an XSUB.
    subscribes: bool,
}

/// One frame, whole or as much of it as is kept.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) flags: u8,
    pub(super) header: &'a [u8],
    /// What the header says.
    pub(super) size: u64,
    /// At most `size` bytes.
    pub(super) body: &'a [u8],
}

impl Context {
    /// Whether the next frame may carry a password.
    pub(super) fn may_be_secret(&self) -> bool {
        !self.open && self.mechanism != b"NULL" && self.mechanism != b"CURVE"
    }

    fn curve(&self) -> bool {
        self.mechanism == b"CURVE"
    }
}

impl Frame<'_> {
    /// Tells the frame's lines.
    pub(super) fn explain(&self, context: &mut Context, line: &mut dyn FnMut(&str)) {
        match self.name(context) {
            Some((name, data)) => self.command(name, data, context, line),
            None if self.flags & COMMAND != 0 => self.nameless(context, line),
            None => self.part(context, line),
        }
    }

    /// The command's name and data. Frames of the handshake are commands whatever their flags say,
    /// for so libzmq reads them; and CURVE's MESSAGE never has the flag.
    fn name(&self, context: &Context) -> Option<(&[u8], &[u8])> {
        // As libzmq's PLAIN spells it: the length of the name has become part of it.
        if let Some(data) = self.body.strip_prefix(b"^RROR") {
            return (self.flags & COMMAND != 0).then_some((b"ERROR", data));
        }
        let (&len, rest) = self.body.split_first().filter(|(len, _)| **len > 0)?;
        let (name, data) = rest.split_at_checked(usize::from(len))?;
        let by_name =
            (!context.open && HANDSHAKE.contains(&name)) || (context.curve() && name == b"MESSAGE");
        (self.flags & COMMAND != 0 || by_name).then_some((name, data))
    }

    fn command(&self, name: &[u8], data: &[u8], context: &mut Context, line: &mut dyn FnMut(&str)) {
        let front = self.body.len().saturating_sub(data.len());
        let front = hex(self.body.get(..front).unwrap_or_default());
        let head = format!("command {}{}", name.escape_ascii(), self.remarks(true));
        let head = format!("{head}, {}", size(self.size));
        line(&format!("{head} | {} {front}", hex(self.header)));
        let missing = self.missing();
        let mut data = Data {
            rest: data,
            missing,
            line,
        };
        match name {
            b"HELLO" if context.curve() => data.fields(&[
                ("version", 2),
                ("padding", 72),
                ("client's transient key", 32),
                ("nonce", 8),
                ("box", 80),
            ]),
            b"HELLO" if context.mechanism == b"PLAIN" => data.credentials(),
            // It may carry a password in a form of its own.
            b"HELLO" => data.hidden(),
            b"WELCOME" if context.curve() => data.fields(&[("nonce", 16), ("box", 144)]),
            b"INITIATE" if context.curve() => {
                data.fields(&[("cookie", 96), ("nonce", 8)]);
                data.sealed();
            }
            b"READY" | b"MESSAGE" if context.curve() => {
                data.fields(&[("nonce", 8)]);
                data.sealed();
            }
            b"READY" | b"INITIATE" => context.subscribes |= data.properties(),
            b"ERROR" => data.reason(),
            b"PING" => data.ping(),
            b"PONG" => data.value("context"),
            b"SUBSCRIBE" | b"CANCEL" => data.value("topic"),
            b"JOIN" | b"LEAVE" => data.value("group"),
            _ if data.rest.is_empty() => {}
            _ if context.may_be_secret() && name != b"WELCOME" => data.hidden(),
            _ => data.value("data"),
        }
        data.left();
        context.open |= matches!(name, b"READY" | b"INITIATE");
    }

    fn nameless(&self, context: &Context, line: &mut dyn FnMut(&str)) {
        let head = format!(
            "command without a sound name{}, {}",
            self.remarks(true),
            size(self.size)
        );
        let header = hex(self.header);
        match context.may_be_secret() {
            true => line(&format!("{head} | {header}")),
            false => line(&format!("{head} | {header} {}", bytes(self.body, SHOWN))),
        }
    }

    fn part(&self, context: &Context, line: &mut dyn FnMut(&str)) {
        let which = if self.flags & MORE != 0 {
            "part"
        } else {
            "last part"
        };
        let head = format!("{which}{}, {}", self.remarks(false), size(self.size));
        let header = hex(self.header);
        if context.may_be_secret() {
            line(&format!("{head}, within the handshake | {header}"));
            return;
        }
        let meaning = match self.body.split_first() {
            Some((1, topic)) if context.subscribes => format!("subscribes to {}", quoted(topic)),
            Some((0, topic)) if context.subscribes => format!("cancels {}", quoted(topic)),
            _ => quoted_part(self.body, self.missing() > 0),
        };
        let tail = if self.missing() > 0 { "..." } else { "" };
        let body = hex(self.body);
        line(&format!("{head}: {meaning} | {header} {body}{tail}"));
    }

    /// What the flags say beyond what a frame is.
    fn remarks(&self, command: bool) -> String {
        let mut flags = Vec::new();
        if self.flags & MORE != 0 {
            flags.push("MORE".to_owned());
        }
        if self.flags & LONG != 0 {
            flags.push("LONG".to_owned());
        }
        if command && self.flags & COMMAND == 0 {
            flags.push("no COMMAND".to_owned());
        }
        let reserved = self.flags & !(MORE | LONG | COMMAND);
        if reserved != 0 {
            flags.push(format!("reserved {reserved:02x}"));
        }
        match flags.is_empty() {
            true => String::new(),
            false => format!(" ({})", flags.join(" ")),
        }
    }

    /// Bytes of the body that are not kept.
    fn missing(&self) -> u64 {
        self.size.saturating_sub(self.body.len() as u64)
    }
}

/// A command's data, told piece by piece.
struct Data<'a, 'l> {
    rest: &'a [u8],
    /// So many bytes of it are not kept.
    missing: u64,
    line: &'l mut dyn FnMut(&str),
}

impl<'a> Data<'a, '_> {
    /// Takes so many bytes, or what there is.
    fn take(&mut self, len: usize) -> &'a [u8] {
        let (now, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        now
    }

    fn fields(&mut self, fields: &[(&str, usize)]) {
        for (name, len) in fields {
            let field = self.take(*len);
            let there = match field.len() == *len {
                true => size(*len as u64),
                false => format!("{} of {len} bytes", field.len()),
            };
            (self.line)(&format!("  {name}, {there} | {}", bytes(field, SHOWN)));
        }
    }

    /// All the rest, what is not kept included, is encrypted.
    fn sealed(&mut self) {
        let there = self.take(usize::MAX);
        let whole = (there.len() as u64).saturating_add(self.missing);
        self.missing = 0;
        let shown = bytes(there, SHOWN_SEALED);
        (self.line)(&format!("  box, {} | {shown}", size(whole)));
    }

    /// The user's name; of the password its length alone.
    fn credentials(&mut self) {
        let Some((&len, rest)) = self.rest.split_first() else {
            return (self.line)("  no user name");
        };
        let Some((user, rest)) = rest.split_at_checked(usize::from(len)) else {
            return self.hidden();
        };
        (self.line)(&format!(
            "  user {} | {len:02x} {}",
            quoted(user),
            hex(user)
        ));
        self.rest = rest;
        match rest.split_first() {
            Some((&len, password)) if password.len() == usize::from(len) => {
                self.rest = &[];
                (self.line)(&format!("  password of {}", size(u64::from(len))));
            }
            _ => self.hidden(),
        }
    }

    /// Data that may be secret.
    fn hidden(&mut self) {
        let len = self.take(usize::MAX).len() as u64;
        let len = len.saturating_add(self.missing);
        self.missing = 0;
        (self.line)(&format!("  not shown, {}", size(len)));
    }

    /// Metadata. Tells whether it is that of a SUB or an XSUB.
    fn properties(&mut self) -> bool {
        let mut subscribes = false;
        while let Some((&len, rest)) = self.rest.split_first() {
            let parsed = rest
                .split_at_checked(usize::from(len))
                .and_then(|(name, rest)| Some((name, rest.split_first_chunk::<4>()?)));
            let Some((name, (wire_len, rest))) = parsed else {
                break;
            };
            let value_len = usize::try_from(u32::from_be_bytes(*wire_len)).unwrap_or(usize::MAX);
            let Some(value) = rest.get(..value_len) else {
                break;
            };
            let front = format!("{len:02x} {} {}", hex(name), hex(wire_len));
            let shown = bytes(value, SHOWN);
            let text = quoted_part(value, false);
            (self.line)(&format!(
                "  {} = {text} | {front} {shown}",
                name.escape_ascii()
            ));
            subscribes |=
                name.eq_ignore_ascii_case(b"Socket-Type") && matches!(value, b"SUB" | b"XSUB");
            self.rest = rest.get(value_len..).unwrap_or_default();
        }
        subscribes
    }

    fn reason(&mut self) {
        if let Some((&len, reason)) = self.rest.split_first()
            && let Some(reason) = reason.get(..usize::from(len))
        {
            let shown = bytes(reason, SHOWN);
            (self.line)(&format!(
                "  reason {} | {len:02x} {shown}",
                quoted_part(reason, false)
            ));
            self.take(1 + usize::from(len));
        }
    }

    fn ping(&mut self) {
        if let Some((ttl, context)) = self.rest.split_first_chunk::<2>() {
            let tenths = u16::from_be_bytes(*ttl);
            let text = match tenths {
                0 => "no time to live".to_owned(),
                _ => format!("time to live {}.{} s", tenths / 10, tenths % 10),
            };
            (self.line)(&format!("  {text} | {}", hex(ttl)));
            self.rest = context;
            if !context.is_empty() {
                self.value("context");
            }
        }
    }

    fn value(&mut self, name: &str) {
        let value = self.take(usize::MAX);
        let text = quoted_part(value, false);
        (self.line)(&format!("  {name} {text} | {}", bytes(value, SHOWN)));
    }

    /// What has not been explained, and what was not kept.
    fn left(&mut self) {
        if !self.rest.is_empty() {
            let rest = self.take(usize::MAX);
            let len = size(rest.len() as u64);
            (self.line)(&format!("  not understood, {len} | {}", bytes(rest, SHOWN)));
        }
        if self.missing > 0 {
            (self.line)(&format!("  and {} more", size(self.missing)));
        }
    }
}

/// The commands of all handshakes.
const HANDSHAKE: [&[u8]; 5] = [b"HELLO", b"WELCOME", b"INITIATE", b"READY", b"ERROR"];
/// What a box looks like tells nothing: a few bytes are enough to tell one from another.
const SHOWN_SEALED: usize = 16;
