//! Any history of a socket, told by a pattern and by plain lists at once. The lists say what RFC
//! 28 to 31 and `spec/zmtp.md` promise; where both disagree, one of them is wrong.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use scale0::pattern::{
    Config, Dropped, Handover, Ignored, Pattern, Refusal, Taken, Unwelcome, Verbose, Violation,
    Way, Welcome,
};
use scale0::wire::{Message, SocketType};

pub type Parts = Vec<Vec<u8>>;
pub type Topic = Vec<u8>;

/// What may happen to a socket.
#[derive(Clone, Debug)]
pub enum Step {
    Join(u32, Vec<u8>, Option<u8>),
    Leave(u32),
    Full(u32),
    Room(u32),
    Send(Parts),
    /// To the peer's name, if it has one.
    SendTo(u32, Parts),
    Hear(u32, Parts),
    /// The peer answers, in the form of the last request.
    Reply(u32, Parts),
    Subscription(u32, bool, Topic),
    Interest(bool, Topic),
    Notice,
    Decide(bool, Topic),
    MayReceive,
    /// All but `manual` and the bounds changes.
    Configure(Config),
}

/// Plays a history, and its end: everybody leaves.
pub fn play(kind: SocketType, config: Config, first: u32, steps: impl IntoIterator<Item = Step>) {
    let mut game = Game::new(kind, config, first);
    for step in steps {
        game.step(step);
        game.look();
    }
    for peer in 0..PEERS {
        game.leave(peer);
    }
    game.look();
    assert_eq!(game.pattern.subscriptions(), 0);
    game.send(vec![b"to".to_vec(), b"nobody".to_vec()]);
}

/// Somebody who is connected.
struct Peer {
    number: u32,
    user: Option<Bytes>,
    /// ROUTER: under which it is known; `None` if another one has it now.
    name: Option<Bytes>,
    full: bool,
    /// What a publisher sends it.
    gets: Vec<Topic>,
    /// XPUB_MANUAL: what it asked for.
    asked: Vec<Topic>,
}

struct Game {
    pattern: Pattern,
    kind: SocketType,
    config: Config,
    peers: Vec<Peer>,
    /// Who has room, next one first.
    line: Vec<u32>,
    /// Automatic names and request ids so far.
    names: Vec<Bytes>,
    ids: Vec<Vec<u8>>,
    /// REQ: whom it asked, and what stood in front.
    request: Option<(u32, Parts)>,
    lost: bool,
    /// What stood in front of the last request, answered or not.
    shape: Parts,
    /// REP: who waits for the answer, if it is still there, and what stood in front.
    owed: Option<(Option<u32>, Parts)>,
    notices: VecDeque<(Option<u32>, Vec<u8>)>,
    last: Option<u32>,
    only: Option<u32>,
    /// As often as it was subscribed to.
    wanted: Vec<Topic>,
}

impl Game {
    fn new(kind: SocketType, config: Config, first: u32) -> Self {
        Self {
            pattern: Pattern::new(kind, config, first),
            kind,
            config,
            peers: Vec::new(),
            line: Vec::new(),
            names: Vec::new(),
            ids: Vec::new(),
            request: None,
            lost: false,
            shape: vec![vec![]],
            owed: None,
            notices: VecDeque::new(),
            last: None,
            only: None,
            wanted: Vec::new(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Join(peer, name, user) => self.join(peer, name, user),
            Step::Leave(peer) => self.leave(peer),
            Step::Full(peer) => self.full(peer),
            Step::Room(peer) => self.room(peer),
            Step::Send(parts) => self.send(parts),
            Step::SendTo(peer, parts) => {
                let name = self.peer(peer).and_then(|peer| peer.name.clone());
                self.send([vec![name.unwrap_or_default().to_vec()], parts].concat());
            }
            Step::Hear(peer, parts) => self.hear(peer, parts),
            Step::Reply(peer, parts) => self.hear(peer, [self.shape.clone(), parts].concat()),
            Step::Subscription(peer, on, topic) => {
                let taken = self.pattern.subscription(peer, on, &topic);
                let due = self.subscription(peer, on, topic);
                assert_eq!(taken, due);
            }
            Step::Interest(on, topic) => {
                let tell = self.pattern.interest(on, &topic);
                assert_eq!(tell, self.interest(on, &topic));
            }
            Step::Notice => self.notice(),
            Step::Decide(on, topic) => self.decide(on, topic),
            Step::MayReceive => self.may_receive(),
            Step::Configure(config) => {
                self.config = Config {
                    manual: self.config.manual,
                    bounds: self.config.bounds,
                    ..config
                };
                self.pattern.configure(self.config);
            }
        }
    }

    fn peer(&self, number: u32) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.number == number)
    }

    fn bearer(&self, name: &[u8]) -> Option<u32> {
        let bears = |peer: &&Peer| peer.name.as_deref() == Some(name);
        self.peers.iter().find(bears).map(|peer| peer.number)
    }

    fn is_full(&self, number: u32) -> bool {
        self.peer(number).is_some_and(|peer| peer.full)
    }

    fn balances(&self) -> bool {
        use SocketType::{Dealer, Pair, Push, Req};
        matches!(self.kind, Dealer | Pair | Push | Req)
    }

    fn publishes(&self) -> bool {
        matches!(self.kind, SocketType::Pub | SocketType::Xpub)
    }

    fn join(&mut self, number: u32, name: Vec<u8>, user: Option<u8>) {
        if self.peer(number).is_some() {
            return;
        }
        let name = Bytes::from(name);
        let user = user.map(|user| Bytes::from(vec![user]));
        let said = self.pattern.join(number, &name, user.as_ref());
        if self.kind == SocketType::Pair && !self.peers.is_empty() {
            assert_eq!(said, Err(Unwelcome::Taken));
            return;
        }
        let mut its = None;
        if self.kind == SocketType::Router {
            let Some(welcome) = self.named(number, &name, user.as_ref(), said) else {
                return;
            };
            its = welcome.name;
        } else {
            assert_eq!(said, Ok(Welcome::default()));
        }
        self.peers.push(Peer {
            number,
            user,
            name: its,
            full: false,
            gets: Vec::new(),
            asked: Vec::new(),
        });
        if self.balances() {
            self.line.push(number);
        }
    }

    fn named(
        &mut self,
        number: u32,
        wanted: &Bytes,
        user: Option<&Bytes>,
        said: Result<Welcome, Unwelcome>,
    ) -> Option<Welcome> {
        if wanted.is_empty() {
            let welcome = said.unwrap();
            let name = welcome.name.clone().unwrap();
            assert!(name.len() == 5 && name[0] == 0, "{name:?}");
            assert_eq!(self.bearer(&name), None, "somebody has {name:?}");
            assert!(!self.names.contains(&name), "{name:?} was given before");
            assert_eq!(welcome.displaced, None);
            self.names.push(name);
            return Some(welcome);
        }
        let before = self.bearer(wanted);
        if let Some(before) = before {
            let old = self.peers.iter_mut().find(|peer| peer.number == before);
            let old = old.unwrap();
            let may = match self.config.handover {
                Handover::Refuse => false,
                Handover::SameUser => user.is_some() && user == old.user.as_ref(),
                Handover::Any => true,
            };
            if !may {
                assert_eq!(said, Err(Unwelcome::NameTaken), "{number}");
                return None;
            }
            old.name = None;
        }
        let due = Welcome {
            name: Some(wanted.clone()),
            displaced: before,
        };
        assert_eq!(said.as_ref(), Ok(&due));
        Some(due)
    }

    fn leave(&mut self, number: u32) {
        self.pattern.leave(number);
        let Some(place) = self.peers.iter().position(|peer| peer.number == number) else {
            return;
        };
        let gone = self.peers.remove(place);
        self.line.retain(|peer| *peer != number);
        if self
            .request
            .as_ref()
            .is_some_and(|(asked, _)| *asked == number)
        {
            self.request = None;
            self.lost = true;
        }
        if let Some((asker, _)) = &mut self.owed {
            *asker = asker.filter(|asker| *asker != number);
        }
        for (peer, _) in &mut self.notices {
            *peer = peer.filter(|peer| *peer != number);
        }
        self.last = self.last.filter(|peer| *peer != number);
        self.only = self.only.filter(|peer| *peer != number);
        if self.kind == SocketType::Xpub {
            self.notice_end_of(gone);
        }
    }

    /// What its program hears of is what it would have heard if the peer had cancelled all.
    fn notice_end_of(&mut self, gone: Peer) {
        let manual = self.config.manual;
        let mut topics = if manual { gone.asked } else { gone.gets };
        topics.sort();
        for topic in topics {
            let last = !self.peers.iter().any(|peer| peer.gets.contains(&topic));
            if manual || last || self.config.verbose == Verbose::All {
                self.notices.push_back((None, [&[0], &topic[..]].concat()));
            }
        }
    }

    fn full(&mut self, number: u32) {
        self.pattern.full(number);
        self.line.retain(|peer| *peer != number);
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.number == number) {
            peer.full = true;
        }
    }

    fn room(&mut self, number: u32) {
        self.pattern.room(number);
        let Some(peer) = self.peers.iter_mut().find(|peer| peer.number == number) else {
            return;
        };
        peer.full = false;
        if self.balances() && !self.line.contains(&number) {
            self.line.push(number);
        }
    }

    fn send(&mut self, parts: Parts) {
        let message = Message::new(&parts);
        let crowd: BTreeSet<u32> = self.peers.iter().map(|peer| peer.number).collect();
        let busy: BTreeSet<u32> = crowd
            .iter()
            .copied()
            .filter(|it| self.is_full(*it))
            .collect();
        let way = self.pattern.send(message, |peer| busy.contains(&peer));
        // Whatever the type: nothing goes to who is gone, nor to who has no room.
        if let Way::To { peer, .. } = &way {
            assert!(crowd.contains(peer) && !busy.contains(peer), "to {peer}");
        }
        if matches!(way, Way::Each(_)) {
            let all = self.pattern.targets();
            assert!(all.iter().all(|peer| crowd.contains(peer)), "to {all:?}");
        }
        if parts.is_empty() {
            assert_eq!(way, Way::Refused(Message::default(), Refusal::Empty));
            return;
        }
        match self.kind {
            SocketType::Push | SocketType::Dealer | SocketType::Pair => self.sent(&parts, way),
            SocketType::Req => self.asked(&parts, way),
            SocketType::Rep => self.answered(&parts, way),
            SocketType::Router => self.routed(&parts, &way),
            SocketType::Pub | SocketType::Xpub => self.published(&parts, &way),
            SocketType::Xsub => self.sent_up(&parts, &way),
            SocketType::Sub | SocketType::Pull => refused(way, &parts, Refusal::NoSender),
        }
    }

    fn turn(&mut self) -> u32 {
        let peer = self.line.remove(0);
        self.line.push(peer);
        peer
    }

    fn sent(&mut self, parts: &Parts, way: Way) {
        if self.line.is_empty() {
            assert_eq!(way, Way::Wait(Message::new(parts)));
            return;
        }
        let due = Way::To {
            peer: self.turn(),
            head: None,
            body: Message::new(parts),
        };
        assert_eq!(way, due);
    }

    fn asked(&mut self, parts: &Parts, way: Way) {
        if self.request.is_some() && !self.config.relaxed {
            refused(way, parts, Refusal::ReceiveFirst);
            return;
        }
        if self.line.is_empty() {
            assert_eq!(way, Way::Wait(Message::new(parts)));
            return;
        }
        let Way::To { peer, head, body } = way else {
            panic!("{way:?} of a request");
        };
        assert_eq!(peer, self.turn());
        assert_eq!(body, Message::new(parts));
        let head = read(&head.unwrap());
        if self.config.correlate {
            assert!(head.len() == 2 && head[0].len() == 4 && head[1].is_empty());
            assert!(!self.ids.contains(&head[0]), "an id twice");
            self.ids.push(head[0].clone());
        } else {
            assert_eq!(head, [b""]);
        }
        self.shape.clone_from(&head);
        self.request = Some((peer, head));
        self.lost = false;
    }

    fn answered(&mut self, parts: &Parts, way: Way) {
        match self.owed.take() {
            None => refused(way, parts, Refusal::ReceiveFirst),
            Some((None, _)) => assert_eq!(way, Way::Dropped(Dropped::Gone)),
            Some((Some(peer), _)) if self.is_full(peer) => {
                assert_eq!(way, Way::Dropped(Dropped::Full));
            }
            Some((Some(peer), envelope)) => {
                let due = Way::To {
                    peer,
                    head: Some(Message::new(envelope)),
                    body: Message::new(parts),
                };
                assert_eq!(way, due);
            }
        }
    }

    fn routed(&self, parts: &Parts, way: &Way) {
        let whole = Message::new(parts);
        let due = match (self.bearer(&parts[0]), self.config.mandatory) {
            (None, true) => Way::Refused(whole, Refusal::Unroutable),
            (None, false) => Way::Dropped(Dropped::Unroutable),
            (Some(_), _) if parts.len() == 1 => Way::Refused(whole, Refusal::Empty),
            (Some(peer), true) if self.is_full(peer) => Way::Wait(whole),
            (Some(peer), false) if self.is_full(peer) => Way::Dropped(Dropped::Full),
            (Some(peer), _) => Way::To {
                peer,
                head: None,
                body: Message::new(&parts[1..]),
            },
        };
        assert_eq!(way, &due);
    }

    fn published(&mut self, parts: &Parts, way: &Way) {
        let wants = |peer: &&Peer| {
            let matches = peer.gets.iter().any(|topic| parts[0].starts_with(topic));
            matches != self.config.invert && self.only.is_none_or(|only| only == peer.number)
        };
        let due: Vec<&Peer> = self.peers.iter().filter(wants).collect();
        if self.config.no_drop && due.iter().any(|peer| peer.full) {
            assert_eq!(way, &Way::Wait(Message::new(parts)));
            return;
        }
        assert_eq!(way, &Way::Each(Message::new(parts)));
        let mut due: Vec<u32> = due.iter().map(|peer| peer.number).collect();
        due.sort_unstable();
        let mut targets = self.pattern.targets().to_vec();
        targets.sort_unstable();
        assert_eq!(targets, due, "or somebody twice");
        self.only = None;
    }

    fn sent_up(&mut self, parts: &Parts, way: &Way) {
        if let Some((on, topic)) = subscription_in(parts) {
            let tell = self.interest(on, &topic);
            let topic = Bytes::from(topic);
            assert_eq!(way, &Way::Subscription { on, topic, tell });
            return;
        }
        assert_eq!(way, &Way::Each(Message::new(parts)));
        let mut due: Vec<u32> = self.peers.iter().map(|peer| peer.number).collect();
        due.sort_unstable();
        let mut targets = self.pattern.targets().to_vec();
        targets.sort_unstable();
        assert_eq!(targets, due);
    }

    fn hear(&mut self, number: u32, parts: Parts) {
        if self.owed.is_some() {
            // Nothing is taken from a queue while an answer is owed.
            return;
        }
        let whole = Message::new(&parts);
        let taken = self.pattern.hear(number, whole.clone());
        let received = |body| Taken::Message { from: None, body };
        let due = match self.kind {
            SocketType::Pull | SocketType::Dealer | SocketType::Pair | SocketType::Xsub => {
                received(whole)
            }
            SocketType::Push => Taken::Ignored(Ignored::NoReceiver),
            SocketType::Router => match self.peer(number).and_then(|peer| peer.name.clone()) {
                Some(name) => Taken::Message {
                    from: Some(name),
                    body: whole,
                },
                None => Taken::Ignored(Ignored::Stale),
            },
            SocketType::Req => self.reply(number, &parts),
            SocketType::Rep => self.request(number, &parts),
            SocketType::Sub => {
                let first = parts.first().map_or(&[][..], |first| first);
                let wanted = self.wanted.iter().any(|topic| first.starts_with(topic));
                match wanted != self.config.invert {
                    true => received(whole),
                    false => Taken::Ignored(Ignored::Unwanted),
                }
            }
            SocketType::Pub | SocketType::Xpub => match subscription_in(&parts) {
                Some((on, topic)) => self.subscription(number, on, topic),
                None if self.kind == SocketType::Xpub => received(whole),
                None => Taken::Ignored(Ignored::NoReceiver),
            },
        };
        assert_eq!(taken, due);
    }

    fn reply(&mut self, number: u32, parts: &Parts) -> Taken {
        let head = match &parts[..] {
            [delimiter, _, ..] if delimiter.is_empty() => 1,
            [id, delimiter, _, ..] if id.len() == 4 && delimiter.is_empty() => 2,
            _ => return Taken::Close(Violation::NoReply),
        };
        let said = (number, parts[..head].to_vec());
        if self.request.as_ref() != Some(&said) {
            return Taken::Ignored(Ignored::Stale);
        }
        self.request = None;
        Taken::Message {
            from: None,
            body: Message::new(&parts[head..]),
        }
    }

    fn request(&mut self, number: u32, parts: &Parts) -> Taken {
        let delimiter = parts.iter().position(Vec::is_empty);
        let Some(end) = delimiter.map(|delimiter| delimiter + 1) else {
            return Taken::Ignored(Ignored::NoRequest);
        };
        if end > self.config.envelope || end == parts.len() {
            return Taken::Ignored(Ignored::NoRequest);
        }
        let asker = self.peer(number).map(|peer| peer.number);
        self.owed = Some((asker, parts[..end].to_vec()));
        Taken::Message {
            from: None,
            body: Message::new(&parts[end..]),
        }
    }

    fn subscription(&mut self, number: u32, on: bool, topic: Topic) -> Taken {
        if !self.publishes() {
            return Taken::Ignored(Ignored::NoReceiver);
        }
        if self.peer(number).is_none() {
            return Taken::Ignored(Ignored::Stale);
        }
        let manual = self.config.manual && self.kind == SocketType::Xpub;
        let Some(change) = self.change(number, manual, on, &topic) else {
            return Taken::Ignored(Ignored::Full);
        };
        let verbose = match self.config.verbose {
            Verbose::No => false,
            Verbose::Subscriptions => on,
            Verbose::All => true,
        };
        if self.kind == SocketType::Xpub && (change || verbose || manual) {
            let message = [&[u8::from(on)], &topic[..]].concat();
            self.notices.push_back((Some(number), message));
        }
        Taken::Subscription
    }

    /// Whether the topic had nobody before, or has nobody now. `None` if a bound forbids it.
    fn change(&mut self, number: u32, asked: bool, on: bool, topic: &Topic) -> Option<bool> {
        let of = |peer: &Peer| {
            if asked {
                peer.asked.len()
            } else {
                peer.gets.len()
            }
        };
        let total: usize = self.peers.iter().map(of).sum();
        let bounds = self.config.bounds;
        let others = self.peers.iter().filter(|peer| peer.number != number);
        let others = others
            .map(|peer| if asked { &peer.asked } else { &peer.gets })
            .any(|topics| topics.contains(topic));
        let peer = self.peers.iter_mut().find(|peer| peer.number == number);
        let peer = peer.unwrap();
        let topics = if asked {
            &mut peer.asked
        } else {
            &mut peer.gets
        };
        let had = topics.contains(topic);
        if on && !had {
            let full = topics.len() >= bounds.per_peer || total >= bounds.total;
            if full || topic.len() > bounds.topic {
                return None;
            }
            topics.push(topic.clone());
        }
        if !on {
            topics.retain(|its| its != topic);
        }
        Some(had != on && !others)
    }

    fn interest(&mut self, on: bool, topic: &Topic) -> bool {
        let times = self.wanted.iter().filter(|wanted| *wanted == topic).count();
        if on {
            self.wanted.push(topic.clone());
            return times == 0;
        }
        if let Some(place) = self.wanted.iter().position(|wanted| wanted == topic) {
            self.wanted.remove(place);
        }
        times == 1 || (self.kind == SocketType::Xsub && self.config.verbose_unsubscribe)
    }

    fn notice(&mut self) {
        let due = self.notices.pop_front();
        let said = self.pattern.notice();
        assert_eq!(
            said.as_ref().map(read),
            due.as_ref().map(|(_, part)| vec![part.clone()])
        );
        if let Some((peer, _)) = due {
            self.last = peer;
        }
    }

    fn decide(&mut self, on: bool, topic: Topic) {
        let said = self.pattern.decide(on, &topic);
        let last = self.last.filter(|_| self.config.manual);
        let Some(last) = last else {
            assert_eq!(said, Ok(false));
            return;
        };
        if self.change(last, false, on, &topic).is_none() {
            assert!(said.is_err());
            return;
        }
        assert_eq!(said, Ok(true));
        if on {
            self.only = self.config.last_value.then_some(last);
        }
    }

    fn may_receive(&mut self) {
        let due = match self.kind {
            SocketType::Push | SocketType::Pub => Err(Refusal::NoReceiver),
            SocketType::Req if std::mem::take(&mut self.lost) => Err(Refusal::Lost),
            SocketType::Req if self.request.is_none() => Err(Refusal::SendFirst),
            SocketType::Rep if self.owed.is_some() => Err(Refusal::SendFirst),
            _ => Ok(()),
        };
        assert_eq!(self.pattern.may_receive(), due);
    }

    /// What can be seen from outside at any time.
    fn look(&self) {
        let pattern = &self.pattern;
        assert_eq!(
            pattern.has_room(),
            !self.balances() || !self.line.is_empty()
        );
        assert_eq!(pattern.notices(), self.notices.len());
        let topics: usize = self.peers.iter().map(|peer| peer.gets.len()).sum();
        assert_eq!(pattern.subscriptions(), topics);
        assert_eq!(
            pattern.asked(),
            self.request.as_ref().map(|(peer, _)| *peer)
        );
        for number in 0..PEERS {
            let name = self.peer(number).and_then(|peer| peer.name.as_ref());
            assert_eq!(pattern.name(number), name);
            assert!(name.is_none_or(|name| pattern.knows(name)));
        }
        assert!(
            self.names
                .iter()
                .all(|name| pattern.knows(name) == self.bearer(name).is_some())
        );
        let wanted: BTreeSet<&[u8]> = self.wanted.iter().map(Vec::as_slice).collect();
        assert!(pattern.interests().topics().eq(wanted));
    }
}

fn refused(way: Way, parts: &Parts, why: Refusal) {
    assert_eq!(way, Way::Refused(Message::new(parts), why));
}

fn read(message: &Message) -> Parts {
    message.parts().map(<[u8]>::to_vec).collect()
}

/// RFC 29: one part that begins with 1 or 0.
fn subscription_in(parts: &Parts) -> Option<(bool, Topic)> {
    match &parts[..] {
        [part] if part.first() == Some(&1) => Some((true, part[1..].to_vec())),
        [part] if part.first() == Some(&0) => Some((false, part[1..].to_vec())),
        _ => None,
    }
}

/// Numbers that peers may have.
pub const PEERS: u32 = 5;
