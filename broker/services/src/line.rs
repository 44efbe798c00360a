//! The line for the services' thread: what plugins and the host want done. Each of them has its turn after the others, however much it has
//! waiting.

use std::collections::{HashMap, VecDeque};

/// The plugin, or the host, that a thing in the line is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Whose {
    /// The host, whose things always have room.
    Host,
    /// The plugin with this number on the bus.
    Plugin(u64),
}

/// How many things wait, and how many bytes they have.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    things: usize,
    bytes: usize,
}

/// How much of one plugin may wait, and how much of all together.
const PLUGIN: Held = Held {
    things: 64,
    bytes: 4 << 20,
};
const ALL: Held = Held {
    things: 1_024,
    bytes: 32 << 20,
};
/// How much of all may wait when a plugin adds its first thing: so a few plugins that have as much waiting as they may do not keep others
/// out.
const ALL_WITH_FIRST: Held = Held {
    things: 2 * ALL.things,
    bytes: 2 * ALL.bytes,
};

impl Held {
    fn has_room(&self, bytes: usize, most: &Held) -> bool {
        self.things < most.things && self.bytes + bytes <= most.bytes
    }

    fn add(&mut self, bytes: usize) {
        self.things += 1;
        self.bytes += bytes;
    }

    fn subtract(&mut self, bytes: usize) {
        self.things -= 1;
        self.bytes -= bytes;
    }
}

/// The things that wait.
pub(crate) struct Line<T> {
    /// The plugins, and the host, that have something waiting, in the order of their turns.
    turns: VecDeque<Whose>,
    waiting: HashMap<Whose, Waiting<T>>,
    all: Held,
}

struct Waiting<T> {
    /// Each thing with its bytes, in the order in which they came.
    things: VecDeque<(T, usize)>,
    held: Held,
}

impl<T> Line<T> {
    pub(crate) fn new() -> Line<T> {
        Line {
            turns: VecDeque::new(),
            waiting: HashMap::new(),
            all: Held::default(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Adds a thing. If there is no room for it, returns it.
    pub(crate) fn push(&mut self, whose: Whose, thing: T, bytes: usize) -> Result<(), T> {
        let held = self.waiting.get(&whose).map(|waiting| waiting.held);
        let held = held.unwrap_or_default();
        let most = match held.things {
            0 => ALL_WITH_FIRST,
            _ => ALL,
        };
        let has_room = held.has_room(bytes, &PLUGIN) && self.all.has_room(bytes, &most);
        if whose != Whose::Host && !has_room {
            return Err(thing);
        }
        let waiting = self.waiting.entry(whose).or_insert_with(|| {
            self.turns.push_back(whose);
            Waiting {
                things: VecDeque::new(),
                held: Held::default(),
            }
        });
        self.all.add(bytes);
        waiting.held.add(bytes);
        waiting.things.push_back((thing, bytes));
        Ok(())
    }

    /// Takes out the next thing of the plugin, or the host, whose turn it is, and the things behind it that can be done together with it.
    pub(crate) fn take(&mut self, together: impl Fn(&T, &T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        let Some(whose) = self.turns.pop_front() else {
            return taken;
        };
        let Some(waiting) = self.waiting.get_mut(&whose) else {
            return taken;
        };
        while let Some((next, bytes)) = waiting.things.front() {
            if taken.first().is_some_and(|first| !together(first, next)) {
                break;
            }
            self.all.subtract(*bytes);
            waiting.held.subtract(*bytes);
            taken.extend(waiting.things.pop_front().map(|(thing, _)| thing));
        }
        match waiting.things.is_empty() {
            true => drop(self.waiting.remove(&whose)),
            false => self.turns.push_back(whose),
        }
        taken
    }

    /// Takes everything out.
    pub(crate) fn rest(&mut self) -> Vec<T> {
        let waiting = std::mem::replace(self, Line::new()).waiting;
        let things = waiting.into_values().flat_map(|waiting| waiting.things);
        things.map(|(thing, _)| thing).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Whose = Whose::Plugin(1);
    const B: Whose = Whose::Plugin(2);

    /// Things of one kind can be done together.
    fn is_like(first: &&str, next: &&str) -> bool {
        first.starts_with("set") && next.starts_with("set")
    }

    fn line(things: &[(Whose, &'static str)]) -> Line<&'static str> {
        let mut line = Line::new();
        for (whose, thing) in things {
            line.push(*whose, *thing, 1).expect("there is room");
        }
        line
    }

    /// A plugin that had many calls waiting made all others wait for each of them.
    #[test]
    fn each_has_its_turn() {
        let mut line = line(&[
            (A, "get 1"),
            (A, "get 2"),
            (A, "get 3"),
            (B, "get 4"),
            (Whose::Host, "job 5"),
            (B, "get 6"),
        ]);
        let order: Vec<_> = (0..6).flat_map(|_| line.take(is_like)).collect();
        let expected = ["get 1", "get 4", "job 5", "get 2", "get 6", "get 3"];
        assert_eq!(order, expected);
        assert!(line.is_empty() && line.take(is_like).is_empty());
        assert_eq!((line.all.things, line.all.bytes), (0, 0));
    }

    /// Each `set` was written to the disk by itself.
    #[test]
    fn what_can_be_done_together_is_taken_together_and_in_its_order() {
        let mut line = line(&[
            (A, "set 1"),
            (B, "set 2"),
            (A, "set 3"),
            (A, "get 4"),
            (A, "set 5"),
            (A, "set 6"),
        ]);
        let turns: Vec<_> = (0..4).map(|_| line.take(is_like)).collect();
        let expected: [&[&str]; 4] = [
            &["set 1", "set 3"],
            &["set 2"],
            &["get 4"],
            &["set 5", "set 6"],
        ];
        assert_eq!(turns, expected);
    }

    /// Sixteen plugins that never stopped calling kept out all others.
    #[test]
    fn those_who_have_all_the_room_do_not_keep_out_who_has_nothing_waiting() {
        let mut line = Line::new();
        for plugin in 0..16 {
            for _ in 0..PLUGIN.things {
                line.push(Whose::Plugin(plugin), "", 1)
                    .expect("there is room");
            }
            line.push(Whose::Plugin(plugin), "", 1)
                .expect_err("it has as many as one may have");
        }
        let late = Whose::Plugin(16);
        line.push(late, "first", 1).expect("it has nothing waiting");
        line.push(late, "second", 1).expect_err("all room is taken");
        line.push(Whose::Host, "", 1).expect("it always has room");
        // Plugins that come with a new number for each call are limited as well.
        let more = (17..).take_while(|number| line.push(Whose::Plugin(*number), "", 1).is_ok());
        assert!(more.count() < ALL_WITH_FIRST.things);
        let turns = std::iter::from_fn(|| line.take(|_, _| false).pop());
        let before = turns.take_while(|thing| *thing != "first").count();
        assert_eq!(before, 16, "each of the others once");
    }

    #[test]
    fn bytes_are_bounded_and_given_back() {
        let mut line = Line::new();
        let half = PLUGIN.bytes / 2;
        for thing in ["a", "b"] {
            line.push(A, thing, half).expect("there is room");
        }
        line.push(A, "c", 1)
            .expect_err("it has as much as one may have");
        assert_eq!(line.take(|_, _| true), ["a", "b"]);
        line.push(A, "d", PLUGIN.bytes)
            .expect("there is room again");
        line.push(B, "e", 1).expect("it is another's");
        assert_eq!(line.rest().len(), 2);
        assert!(line.is_empty());
        assert_eq!(line.all.bytes, 0);
    }
}
