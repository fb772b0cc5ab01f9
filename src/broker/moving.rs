//! Waiting tasks change their queue when what they asked for is offered in another way than when
//! they came: by a wildcard, or no more by one.

use std::collections::BTreeSet;

use super::Broker;

impl Broker {
    /// A service has its first worker. If it is a wildcard, tasks may wait elsewhere that it fits.
    pub(super) fn gather_waiting(&mut self, number: u32) {
        if !self.services.get(number).is_some_and(|s| s.wildcard) {
            return;
        }
        let deserted: Vec<u32> = self
            .services
            .iter()
            .filter(|(_, service)| service.workers == 0 && !service.queue.is_empty())
            .map(|(number, _)| number)
            .collect();
        for from in deserted {
            self.move_on(from);
        }
    }

    /// Nobody offers this service any more: what waits for it goes to whoever serves it otherwise.
    pub(super) fn move_on(&mut self, from: u32) {
        let Some(service) = self.services.get(from) else {
            return;
        };
        let waiting: Vec<u32> = service.queue.oldest_first(&self.lines).collect();
        for task in waiting {
            if let Some(to) = self.change_queue(task, from) {
                self.unserved.insert(to);
            }
        }
        self.tidy(from);
    }

    /// Gives out what has come to its queue by other ways than its client's, once all of it has: what is important goes first, and
    /// to whoever is idle longest, the workers at `places` included, who are about to be settled.
    pub(super) fn serve_all(&mut self, places: &[u32]) {
        if self.unserved.is_empty() {
            return;
        }
        let most = self.config.limits.worker_tasks;
        for &place in places {
            let peer = self.peer_at(place);
            if peer.is_some_and(|peer| peer.with_room(most).is_some()) {
                self.stand_ready(place);
            }
        }
        let mut unserved = std::mem::take(&mut self.unserved);
        unserved.retain(|number| (self.services.get(*number)).is_some_and(|s| !s.ready.is_empty()));
        // The first of all their queues each time: who stands ready for two of them is to be
        // chosen for the task that it would take first.
        while let Some((number, task)) = self.first_of(&unserved) {
            let place = self
                .choose(number, task)
                .and_then(|node| self.posts.get(node));
            let place = place.map(|post| post.peer.place);
            let Some((place, task)) = place.and_then(|place| Some((place, self.next_for(place)?)))
            else {
                unserved.remove(&number);
                continue;
            };
            if self.hand_over(task, place) {
                self.take_turn(place);
            }
        }
    }

    /// Of the tasks whose turn it is in these services, with its service, the one that comes first.
    fn first_of(&mut self, services: &BTreeSet<u32>) -> Option<(u32, u32)> {
        let (now, lines) = (self.now, &mut self.lines);
        let turns = services.iter().filter_map(|&number| {
            let service = self.services.get_mut(number)?;
            Some((number, service.queue.turn(lines, now)?))
        });
        turns
            .min_by_key(|(_, turn)| turn.order(0))
            .map(|(number, turn)| (number, turn.task))
    }

    /// The number of the service in whose queue it stands now, if that is another.
    fn change_queue(&mut self, number: u32, from: u32) -> Option<u32> {
        let name = self.task_name(number);
        let to = match self.services.resolve(&name) {
            Some(to) => to,
            // The deserted one counts among them as long as anything waits in it.
            None if self.services.awaited() > self.config.limits.awaited_names => {
                self.desert(number);
                return None;
            }
            None => {
                let to = self.services.find_or_add(&name, self.now);
                self.adopt(to);
                to
            }
        };
        if to == from {
            return None;
        }
        self.dequeue(number);
        let wildcard = self.services.get(to).is_some_and(|s| s.wildcard);
        if let Some(task) = self.tasks.get_mut(number) {
            task.service = to;
            task.asked = wildcard.then(|| Box::new(name));
        }
        self.enqueue(number);
        Some(to)
    }
}
