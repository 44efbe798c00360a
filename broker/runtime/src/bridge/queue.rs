//! The queue of one subscription: events that were not written to the child yet.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::frame::Overflow;

/// The most events of a queue, even if the child asks for more.
const MOST: u32 = 65_536;
/// The most bytes of events in a queue.
const MOST_BYTES: usize = 8 << 20;
/// The most bytes of events in all queues of one child.
const MOST_OF_ALL: usize = 16 << 20;

/// The bytes of events in all queues of one child together.
#[derive(Clone, Debug, Default)]
pub(super) struct Held(Arc<AtomicUsize>);

impl Held {
    /// Whether `length` bytes fit. Two threads that ask at the same time may both get true; then the limit is exceeded by one event.
    fn has_room(&self, length: usize) -> bool {
        self.0.load(Ordering::Relaxed) + length <= MOST_OF_ALL
    }

    fn add(&self, length: usize) {
        self.0.fetch_add(length, Ordering::Relaxed);
    }

    fn subtract(&self, length: usize) {
        self.0.fetch_sub(length, Ordering::Relaxed);
    }
}

/// The events of one subscription that were not written to the child yet, as lines.
#[derive(Debug)]
pub(super) struct Queue {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Shared with the child's other queues.
    held: Held,
    size: usize,
    overflow: Overflow,
}

/// The result of pushing an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pushed {
    /// The number of events that were dropped, this one or older ones.
    pub(super) dropped: u64,
    /// Whether the queue's policy says that the child is too slow.
    pub(super) is_unhealthy: bool,
}

impl Queue {
    pub(super) fn new(held: &Held, size: u32, overflow: Overflow) -> Queue {
        let mut queue = Queue {
            lines: VecDeque::new(),
            bytes: 0,
            held: held.clone(),
            size: 0,
            overflow,
        };
        queue.set(size, overflow);
        queue
    }

    /// Changes size and policy. Events that are in the queue stay.
    pub(super) fn set(&mut self, size: u32, overflow: Overflow) {
        self.size = size.clamp(1, MOST) as usize;
        self.overflow = overflow;
    }

    /// Adds an event; if there is no room, applies the queue's policy.
    pub(super) fn push(&mut self, line: Vec<u8>) -> Pushed {
        let mut pushed = Pushed {
            dropped: 0,
            is_unhealthy: false,
        };
        while !self.has_room(line.len()) {
            pushed.dropped += 1;
            match self.overflow {
                Overflow::DropOldest => {
                    // The queue is empty, so the child's other queues use up the common limit.
                    if self.pop().is_none() {
                        return pushed;
                    }
                }
                Overflow::DropNewest => return pushed,
                Overflow::MarkUnhealthy => {
                    pushed.is_unhealthy = true;
                    return pushed;
                }
            }
        }
        self.count(line.len());
        self.lines.push_back(line);
        pushed
    }

    /// Whether an event fits. An empty queue takes an event of any size, unless the child's queues together are full.
    fn has_room(&self, length: usize) -> bool {
        let is_full = self.lines.len() >= self.size || self.bytes + length > MOST_BYTES;
        (self.lines.is_empty() || !is_full) && self.held.has_room(length)
    }

    fn count(&mut self, length: usize) {
        self.bytes += length;
        self.held.add(length);
    }

    /// Takes the oldest event.
    pub(super) fn pop(&mut self) -> Option<Vec<u8>> {
        let line = self.lines.pop_front()?;
        self.bytes -= line.len();
        self.held.subtract(line.len());
        Some(line)
    }

    /// Puts back the event that was popped last.
    pub(super) fn put_back(&mut self, line: Vec<u8>) {
        self.count(line.len());
        self.lines.push_front(line);
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.held.subtract(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(overflow: Overflow) -> (Queue, Pushed) {
        let mut queue = Queue::new(&Held::default(), 3, overflow);
        for line in [b"1", b"2", b"3"] {
            let pushed = queue.push(line.to_vec());
            assert_eq!((pushed.dropped, pushed.is_unhealthy), (0, false));
        }
        let pushed = queue.push(b"4".to_vec());
        (queue, pushed)
    }

    fn drained(mut queue: Queue) -> String {
        let lines = std::iter::from_fn(|| queue.pop());
        String::from_utf8(lines.flatten().collect()).unwrap()
    }

    #[test]
    fn a_full_queue_does_what_its_policy_says() {
        for (overflow, is_unhealthy, left) in [
            (Overflow::DropOldest, false, "234"),
            (Overflow::DropNewest, false, "123"),
            (Overflow::MarkUnhealthy, true, "123"),
        ] {
            let (queue, pushed) = filled(overflow);
            let expected = Pushed {
                dropped: 1,
                is_unhealthy,
            };
            assert_eq!(pushed, expected, "{overflow:?}");
            assert_eq!(drained(queue), left);
        }
    }

    /// The limit counted events only, so a subscription with large events kept as many of them as another kept small ones.
    #[test]
    fn a_queue_has_an_end_in_bytes_too() {
        let mut queue = Queue::new(&Held::default(), u32::MAX, Overflow::DropOldest);
        let dropped: u64 = (0..40)
            .map(|_| queue.push(vec![b'x'; 1 << 20]).dropped)
            .sum();
        assert_eq!((dropped, queue.lines.len()), (32, 8));
        let huge = queue.push(vec![b'x'; MOST_BYTES + 1]);
        assert_eq!((huge.dropped, queue.lines.len()), (8, 1));
        assert_eq!(queue.push(vec![b'x']).dropped, 1);
        assert_eq!((queue.lines.len(), queue.bytes), (1, 1));
    }

    /// A child that read nothing made its host keep 8 MiB for each of its 256 subscriptions.
    #[test]
    fn all_queues_of_a_child_have_an_end_together() {
        let held = Held::default();
        let queue = || Queue::new(&held, u32::MAX, Overflow::DropOldest);
        let mut queues: Vec<Queue> = std::iter::repeat_with(queue).take(8).collect();
        for _ in 0..5 {
            for queue in &mut queues {
                queue.push(vec![b'x'; 1 << 20]);
            }
        }
        let kept = |queues: &[Queue]| queues.iter().map(|queue| queue.lines.len()).sum::<usize>();
        assert_eq!(kept(&queues), 16);
        let mut late = queue();
        assert_eq!(late.push(vec![b'x']).dropped, 1);
        assert_eq!(late.lines.len(), 0);
        // The room of a dropped queue can be used by the others.
        queues.pop();
        assert_eq!(late.push(vec![b'x']).dropped, 0);
        queues.clear();
        drop(late);
        assert_eq!(held.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_was_put_back_is_next() {
        let (mut queue, _) = filled(Overflow::DropOldest);
        let first = queue.pop().unwrap();
        queue.put_back(first);
        queue.set(1, Overflow::DropNewest);
        assert_eq!(queue.push(b"5".to_vec()).dropped, 1);
        assert_eq!(drained(queue), "234");
    }
}
