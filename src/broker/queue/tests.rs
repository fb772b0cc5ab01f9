//! A queue by itself.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;

fn owner(client: u32, priority: u8) -> Owner {
    let client = PeerId {
        place: client,
        generation: 0,
    };
    Owner { client, priority }
}

/// A queue, and tasks by number with what they are.
#[derive(Default)]
struct Rig {
    queue: Queue,
    lines: Lines,
    now: Time,
    tasks: Vec<(Owner, usize)>,
}

impl Rig {
    fn push(&mut self, owner: Owner, bytes: usize) -> u32 {
        let task = u32::try_from(self.tasks.len()).unwrap();
        self.tasks.push((owner, bytes));
        self.queue
            .push(&mut self.lines, self.now, owner, task, bytes);
        task
    }

    fn serve(&mut self) -> Option<u32> {
        let turn = self.queue.turn(&mut self.lines, self.now)?;
        let again = self.queue.turn(&mut self.lines, self.now);
        assert_eq!(again, Some(turn), "asked twice");
        self.queue.serve(&mut self.lines, self.now, turn.task);
        Some(turn.task)
    }

    fn rest(&mut self) -> Vec<u32> {
        std::iter::from_fn(|| self.serve()).collect()
    }

    fn wait(&mut self, ms: u64) {
        self.now = self.now + Duration::from_millis(ms);
    }
}

#[test]
fn clients_take_turns_however_many_tasks_each_has() {
    let mut rig = Rig::default();
    for _ in 0..4 {
        rig.push(owner(1, 4), 100);
    }
    let (b, c) = (rig.push(owner(2, 4), 100), rig.push(owner(3, 4), 100));
    assert_eq!(rig.rest(), [0, b, c, 1, 2, 3]);
    assert!(rig.queue.is_empty() && rig.queue.bytes() == 0 && rig.queue.lines() == 0);
}

#[test]
fn what_is_large_waits_for_as_many_turns_as_it_costs() {
    let mut rig = Rig::default();
    rig.push(owner(1, 4), 3 * 4096);
    rig.push(owner(1, 4), 3 * 4096);
    for _ in 0..8 {
        rig.push(owner(2, 4), 10);
    }
    assert_eq!(rig.rest(), [2, 3, 4, 0, 5, 6, 7, 8, 1, 9]);
}

#[test]
fn a_higher_priority_goes_first_and_a_lower_one_rises_by_a_level_a_second() {
    for (waited, order) in [(1900, [1, 2, 3, 0]), (2100, [1, 0, 2, 3])] {
        let mut rig = Rig::default();
        rig.push(owner(1, 2), 1);
        for _ in 0..3 {
            rig.push(owner(2, 4), 1);
        }
        rig.wait(waited);
        assert_eq!(rig.rest(), order, "after {waited} ms");
    }
}

#[test]
fn time_that_a_lines_former_first_task_waited_is_not_the_next_ones() {
    let mut rig = Rig::default();
    rig.push(owner(1, 2), 1);
    let behind = rig.push(owner(1, 2), 1);
    rig.wait(5000);
    let other = rig.push(owner(2, 3), 1);
    assert_eq!(rig.serve(), Some(0));
    assert_eq!(rig.serve(), Some(other));
    assert_eq!(rig.serve(), Some(behind));
}

#[test]
fn what_comes_again_comes_first() {
    let mut rig = Rig::default();
    rig.push(owner(1, 4), 1);
    rig.push(owner(2, 4), 1);
    rig.tasks.push((owner(3, 4), 9000));
    let again = owner(3, 4);
    rig.queue
        .push_again(&mut rig.lines, rig.now, again, 2, 9000);
    assert_eq!(rig.queue.oldest(), Some(2));
    assert_eq!(rig.rest(), [2, 0, 1]);
}

#[test]
fn whoever_fills_a_queue_leaves_room_for_others() {
    let mut rig = Rig::default();
    let full = |rig: &Rig, client| {
        let queue = &rig.queue;
        queue.len() >= 900
            || queue.is_crowded(&rig.lines, owner(client, 4), 1, 900, usize::MAX / SHARE)
    };
    for client in 0..3 {
        while !full(&rig, client) {
            rig.push(owner(client, 4), 1);
        }
    }
    assert!((800..900).contains(&rig.queue.len()), "{}", rig.queue.len());
    assert!(!full(&rig, 3), "no room for a newcomer");
    // A queue that hardly holds anything is filled all the same.
    let mut small = Rig::default();
    for _ in 0..3 {
        let (queue, lines) = (&small.queue, &small.lines);
        assert!(!queue.is_crowded(lines, owner(0, 4), 1, 3, 1 << 20));
        small.push(owner(0, 4), 1);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push(u32, u8, usize),
    Serve,
    Remove(usize),
    Wait(u64),
}

fn steps(priorities: std::ops::Range<u8>) -> impl Strategy<Value = Vec<Step>> {
    let bytes = prop_oneof![3 => Just(1usize), 1 => 0..40_000usize];
    let step = prop_oneof![
        5 => (0..4u32, priorities, bytes).prop_map(|(c, p, b)| Step::Push(c, p, b)),
        4 => Just(Step::Serve),
        1 => (0..40usize).prop_map(Step::Remove),
        1 => (0..1500u64).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 0..200)
}

proptest! {
    /// Books, order within a line, and that nothing unimportant goes before its time.
    #[test]
    fn lines_keep_their_order_and_levels_their_rank(steps in steps(1..8)) {
        let mut rig = Rig::default();
        let mut model: BTreeMap<(u32, u8), VecDeque<(u32, Time)>> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Push(client, priority, bytes) => {
                    let task = rig.push(owner(client, priority), bytes);
                    model.entry((client, priority)).or_default().push_back((task, rig.now));
                }
                Step::Serve => {
                    let served = rig.serve();
                    let waiting = model.values().map(VecDeque::len).sum::<usize>();
                    prop_assert_eq!(served.is_some(), waiting > 0);
                    let Some(task) = served else { continue };
                    let of = rig.tasks[task as usize].0;
                    let line = model.get_mut(&(of.client.place, of.priority)).unwrap();
                    let (first, came) = line.pop_front().unwrap();
                    prop_assert_eq!(first, task, "out of its line");
                    let best = model.iter().filter(|(_, line)| !line.is_empty()).map(|((_, p), _)| *p).max();
                    let above = best.unwrap_or(0).saturating_sub(of.priority);
                    prop_assert!(rig.now.since(came).as_secs() >= u64::from(above), "before its time");
                }
                Step::Remove(nth) => {
                    let all: Vec<_> = model.iter().flat_map(|(key, line)| line.iter().map(|(task, _)| (*key, *task))).collect();
                    if let Some(&(key, task)) = all.get(nth) {
                        rig.queue.remove(&mut rig.lines, rig.now, task);
                        model.get_mut(&key).unwrap().retain(|(other, _)| *other != task);
                    }
                }
                Step::Wait(ms) => rig.wait(ms),
            }
            let waiting: Vec<u32> = model.values().flatten().map(|(task, _)| *task).collect();
            prop_assert_eq!(rig.queue.len(), waiting.len());
            let bytes: usize = waiting.iter().map(|task| rig.tasks[*task as usize].1).sum();
            prop_assert_eq!(rig.queue.bytes(), bytes);
            prop_assert_eq!(rig.queue.lines(), model.values().filter(|line| !line.is_empty()).count());
            prop_assert_eq!(rig.queue.oldest(), waiting.iter().min().copied());
        }
        rig.rest();
        prop_assert!(rig.queue.is_empty() && rig.lines.table.len() == 0);
    }

    /// Between two lines that wait all the time, neither gets ahead by more than a task.
    #[test]
    fn lines_of_one_level_get_the_same(a in proptest::collection::vec(0..60_000usize, 40), b in proptest::collection::vec(0..60_000usize, 40)) {
        let mut rig = Rig::default();
        let most = a.iter().chain(&b).map(|bytes| price(*bytes)).max().unwrap();
        for (a, b) in a.iter().zip(&b) {
            rig.push(owner(1, 4), *a);
            rig.push(owner(2, 4), *b);
        }
        let (mut spent, mut left) = ([0u32; 2], [40usize; 2]);
        while left.iter().all(|left| *left > 0) {
            let task = rig.serve().unwrap() as usize;
            let (of, bytes) = rig.tasks[task];
            let side = of.client.place as usize - 1;
            spent[side] += price(bytes);
            left[side] -= 1;
            prop_assert!(spent[0].abs_diff(spent[1]) <= most, "{spent:?}");
        }
    }
}
