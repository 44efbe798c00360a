//! ARMED-OR-PARKED, CURSOR-OR-STARVING and EVENT-HANDLED: listeners that sleep, and a sender that waits for them.

use std::iter::{once, repeat_n};
use std::sync::Arc;

use callgate_layout::blocks::{self, Blocks, Region, Run};
use callgate_layout::events::cursor::{self, Waiter};
use callgate_layout::events::{RingWriter, Taken, about_to_sleep, all_armed, is_armed};
use callgate_layout::pages::{self, Activity, Doorbell, Status};
use callgate_layout::view::{ReadView, Use, WriteView};
use loom::thread;

use super::{Listener, RECORD, push, ring, send};
use crate::bench::{Futex, Without, check};

/// The source's topic word, and the feed's cursor.
const WORD: u16 = 0;
const FEED: u16 = 0;

/// A status page as far as its first cursor, and what is behind the state.
fn status_page() -> WriteView {
    let state = once(Use::Narrow).chain(repeat_n(Use::Data, 7));
    let cursor = [Use::Wide, Use::Wide, Use::Narrow, Use::Wide, Use::Wide];
    let cursor = cursor.into_iter().chain(repeat_n(Use::Data, 3));
    WriteView::heap(state.chain(cursor).chain(once(Use::Wide)))
}

/// A doorbell page with the bell, one topic word and one feed word.
fn doorbell() -> Doorbell {
    let bell = once(Use::Narrow).chain(repeat_n(Use::Data, 7));
    Doorbell::new(WriteView::heap(bell.chain([Use::Narrow; 2])))
}

/// A plugin that listens: its pages, and where it sleeps.
struct Plugin {
    status: Status,
    page: ReadView,
    bell: Doorbell,
    queue: Futex,
}

impl Plugin {
    fn new() -> Arc<Plugin> {
        let page = status_page();
        Arc::new(Plugin {
            page: page.as_read().clone(),
            status: Status::new(page),
            bell: doorbell(),
            queue: Futex::new(),
        })
    }

    /// What a sender does that has found this plugin's listener armed.
    fn wake_if_asleep(&self) {
        if pages::activity(&self.page) == Activity::Parked {
            self.bell.touch();
            self.queue.wake();
        }
        match cursor::waiter(&self.page, FEED) {
            Waiter::Nobody => {}
            Waiter::Feed => {
                self.bell.touch_feed(FEED);
                self.queue.wake();
            }
            Waiter::Bell(_) => panic!("the models have no such waiter"),
        }
    }

    /// Takes so many events, as a dispatcher that parks in between.
    fn dispatch(&self, listener: &mut Listener, sender: &Doorbell, until: u64, without: Without) {
        while listener.next < until {
            if listener.take() != Taken::Nothing {
                continue;
            }
            let seen = self.status.park(&self.bell);
            sender.arm(WORD);
            all_armed();
            if without == Without::SecondLook || !listener.reader.has_news() {
                self.queue.wait(|| self.bell.value() == seen);
            }
            self.status.awake();
        }
    }

    /// The same as a thread that takes from one feed.
    fn pull(&self, listener: &mut Listener, sender: &Doorbell, until: u64) {
        while listener.next < until {
            if listener.take() != Taken::Nothing {
                continue;
            }
            let cursor = self.status.cursor(FEED);
            cursor.set_waiter(Waiter::Feed);
            about_to_sleep();
            let seen = self.bell.feed_value(FEED);
            sender.arm(WORD);
            all_armed();
            if !listener.reader.has_news() {
                self.queue.wait(|| self.bell.feed_value(FEED) == seen);
            }
            cursor.set_waiter(Waiter::Nobody);
        }
    }
}

/// Looks whether somebody is to be woken, after something was published.
fn wake_the_armed(bell: &Doorbell, plugins: &[Arc<Plugin>]) {
    if is_armed(bell, WORD) {
        bell.disarm(WORD);
        plugins.iter().for_each(|plugin| plugin.wake_if_asleep());
    }
}

/// A sender that sends so many events to listeners that sleep. Its word is armed by somebody who is awake by now.
fn send_to_sleepers(
    events: u64,
    plugins: Vec<Arc<Plugin>>,
    listen: impl Fn(&Plugin, &mut Listener, &Doorbell) + Copy + Send + 'static,
) {
    let bell = Arc::new(doorbell());
    bell.arm(WORD);
    let (mut writer, view) = ring(0);
    let threads: Vec<_> = plugins
        .iter()
        .map(|plugin| {
            let (plugin, bell, view) = (plugin.clone(), bell.clone(), view.clone());
            thread::spawn(move || listen(&plugin, &mut Listener::new(view), &bell))
        })
        .collect();
    for _ in 0..events {
        send(&mut writer);
        wake_the_armed(&bell, &plugins);
    }
    for thread in threads {
        thread.join().unwrap();
    }
}

fn send_to_dispatcher(events: u64, without: Without) {
    send_to_sleepers(
        events,
        vec![Plugin::new()],
        move |plugin, listener, bell| {
            plugin.dispatch(listener, bell, events, without);
        },
    );
}

/// The listener parks, fences, arms, fences and looks; the sender publishes, fences, and looks whether it is armed. Where it takes
/// that away it fences again and looks who sleeps. Without one of the fences of either side an event is slept through.
#[test]
fn no_event_is_slept_through() {
    check(None, || send_to_dispatcher(1, Without::Nothing));
}

/// A word that is armed already is not stored to; then the fence before it is what the sender's second fence pairs with.
#[test]
fn no_second_event_is_slept_through() {
    check(Some(3), || send_to_dispatcher(2, Without::Nothing));
}

/// Who arms, and whom the sender sees asleep, are two.
#[test]
fn two_listeners_are_woken() {
    check(Some(2), || {
        let plugins = vec![Plugin::new(), Plugin::new()];
        send_to_sleepers(1, plugins, |plugin, listener, bell| {
            plugin.dispatch(listener, bell, 1, Without::Nothing);
        });
    });
}

#[test]
#[should_panic(expected = "deadlock")]
fn without_the_second_look_an_event_is_slept_through() {
    check(Some(3), || send_to_dispatcher(1, Without::SecondLook));
}

/// The same for a thread that takes from one feed, and sleeps on its feed word.
#[test]
fn no_event_of_a_pulled_feed_is_slept_through() {
    check(Some(3), || {
        send_to_sleepers(2, vec![Plugin::new()], |plugin, listener, bell| {
            plugin.pull(listener, bell, 2);
        });
    });
}

/// The sender closes its ring: a listener that sleeps hears of it.
#[test]
fn no_end_is_slept_through() {
    check(None, || {
        let (plugin, bell) = (Plugin::new(), Arc::new(doorbell()));
        let (writer, view) = ring(0);
        let thread = thread::spawn({
            let (plugin, bell) = (plugin.clone(), bell.clone());
            move || {
                let mut listener = Listener::new(view);
                while listener.take() != Taken::Closed {
                    let seen = plugin.status.park(&plugin.bell);
                    bell.arm(WORD);
                    all_armed();
                    if !listener.reader.has_news() {
                        plugin.queue.wait(|| plugin.bell.value() == seen);
                    }
                    plugin.status.awake();
                }
            }
        });
        writer.close();
        wake_the_armed(&bell, &[plugin]);
        thread.join().unwrap();
    });
}

/// What handlers write and the sender reads after it has seen that they have run: loom fails where nothing orders the two.
struct Effect {
    memory: WriteView,
    place: Run,
}

const REGION: Region = Region::extent(512);

impl Effect {
    fn new() -> Effect {
        Effect {
            memory: WriteView::heap([Use::Data; 64]),
            place: Blocks::new(REGION).allocate(8).unwrap(),
        }
    }

    fn write(&self) {
        blocks::write(&self.memory, REGION, self.place, &[7; 8]);
    }

    fn read(&self) {
        let memory = self.memory.as_read();
        blocks::read(memory, REGION, self.place.first(), &mut [0; 8]);
    }
}

/// A sender that waits until its first event was handled.
struct Waiting {
    plugin: Arc<Plugin>,
    bell: Doorbell,
    queue: Futex,
    effect: Effect,
}

impl Waiting {
    fn new() -> Arc<Waiting> {
        Arc::new(Waiting {
            plugin: Plugin::new(),
            bell: doorbell(),
            queue: Futex::new(),
            effect: Effect::new(),
        })
    }

    /// As the dispatcher, which then turns to something else.
    fn handle(&self, listener: &mut Listener) {
        assert!(matches!(listener.take(), Taken::Event { number: 0, .. }));
        self.effect.write();
        let (position, next) = (listener.reader.position(), listener.reader.number());
        self.plugin.status.cursor(FEED).handled(position, next);
        if listener.reader.is_starving() {
            self.bell.touch_room(WORD);
            self.queue.wake();
        }
    }

    /// As `flush`, and as `send` where there is no room.
    fn wait(&self, writer: &RingWriter, without: Without) {
        let has_moved = || cursor::read(&self.plugin.page, FEED).position >= RECORD;
        let sleep = |room| self.queue.wait(|| self.bell.room(WORD) == room);
        let room = self.bell.room(WORD);
        writer.starve();
        if without == Without::SecondLook {
            sleep(room);
        }
        loop {
            let room = self.bell.room(WORD);
            if has_moved() {
                break;
            }
            sleep(room);
        }
        writer.sated();
        self.effect.read();
    }
}

fn wait_for_listener(without: Without) {
    let waiting = Waiting::new();
    let (mut writer, view) = ring(4);
    let listener = thread::spawn({
        let waiting = waiting.clone();
        move || {
            let mut listener = Listener::new(view);
            waiting.handle(&mut listener);
            listener
        }
    });
    waiting.wait(&writer, without);
    // Nothing is lost.
    assert!(writer.forget(writer.needed(8), RECORD));
    push(&mut writer, 1);
    writer.publish();
    let mut listener = listener.join().unwrap();
    while listener.next < 5 {
        assert!(matches!(listener.take(), Taken::Event { .. }));
    }
}

/// The sender counts itself, fences and looks at the cursor; the listener stores its position, fences and looks whether
/// anybody starves. Without either fence, or without the count, the sender sleeps while there is room. And what handlers did before
/// the position was stored is seen by who has read it.
#[test]
fn no_room_is_slept_through() {
    check(None, || wait_for_listener(Without::Nothing));
}

#[test]
#[should_panic(expected = "deadlock")]
fn without_the_second_look_room_is_slept_through() {
    check(None, || wait_for_listener(Without::SecondLook));
}
