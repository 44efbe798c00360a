//! Versions of a share: publishing them, and following them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use callgate::Policy;
use callgate_client::{Code, Dispatch, Publisher, Share, ShareEvent, ShareWatch, Versions};

use crate::scene::{PATIENCE, Scene, TAG, Table, eventually, is_there};

#[test]
fn who_follows_gets_each_new_version() {
    let scene = Scene::new();
    let (maker, reader) = (scene.plugin("Maker"), scene.plugin("Reader"));
    let versions: Versions<Table> = reader.shares().versions(TAG).unwrap();
    assert!(versions.latest().unwrap().is_none());
    assert!(
        versions
            .changed(Duration::from_millis(20))
            .unwrap()
            .is_none()
    );
    let publisher: Publisher<Table> = maker.shares().publisher(TAG).unwrap();
    let first = publisher.publish(&Table::named("1")).unwrap();
    assert_eq!((first.version(), &*first.name), (1, "1"));
    let seen = versions.changed(PATIENCE).unwrap().unwrap();
    assert_eq!((seen.version(), &*seen.name), (1, "1"));
    assert_eq!(versions.latest().unwrap().unwrap().version(), 1);
    assert!(
        versions
            .changed(Duration::from_millis(20))
            .unwrap()
            .is_none()
    );
    for number in 2..20 {
        let name = number.to_string();
        publisher.publish(&Table::named(&name)).unwrap();
        let seen = versions.latest().unwrap().unwrap();
        assert_eq!((seen.version(), &*seen.name), (number, &*name));
    }
    // Guards of older versions still read their own version.
    assert_eq!((&*first.name, &*seen.name), ("1", "1"));
    let found: Share<Table> = maker.shares().get(TAG).unwrap();
    assert_eq!(found.version(), 19);
}

#[test]
fn a_thread_that_sleeps_is_woken_by_a_version() {
    let scene = Scene::new();
    let (maker, reader) = (scene.plugin("Maker"), scene.plugin("Reader"));
    let first = maker.shares().publish(TAG, &[1_u32][..]).unwrap();
    let versions: Versions<[u32]> = reader.shares().versions(TAG).unwrap();
    assert_eq!(versions.changed(PATIENCE).unwrap().unwrap()[0], 1);
    thread::scope(|scope| {
        let sleeper = scope.spawn(|| versions.changed(PATIENCE).unwrap().unwrap());
        thread::sleep(Duration::from_millis(30));
        let second = maker
            .shares()
            .publish_with(TAG, 2, |slice: &mut [u32]| slice[1] = 2);
        assert_eq!(second.unwrap()[..], [0, 2]);
        assert_eq!(sleeper.join().unwrap()[..], [0, 2]);
    });
    assert_eq!(first[..], [1]);
}

#[test]
fn a_publisher_keeps_the_share_between_versions() {
    let scene = Scene::new();
    let (maker, reader) = (scene.plugin("Maker"), scene.plugin("Reader"));
    let publisher: Publisher<Table> = maker.shares().publisher(TAG).unwrap();
    assert!(!is_there(&reader.shares(), TAG));
    drop(publisher.publish(&Table::named("kept")).unwrap());
    assert!(is_there(&reader.shares(), TAG));
    assert_eq!(reader.shares().get::<Table>(TAG).unwrap().version(), 1);
    drop(publisher.publish(&Table::named("kept on")).unwrap());
    assert_eq!(reader.shares().get::<Table>(TAG).unwrap().version(), 2);
    drop(publisher);
    eventually(|| !is_there(&reader.shares(), TAG));
}

#[test]
fn makers_publish_one_after_the_other() {
    let scene = Scene::new();
    let makers = [scene.plugin("A"), scene.plugin("B")];
    let publishers: Vec<Publisher<[u64]>> = makers
        .iter()
        .map(|plugin| plugin.shares().publisher(TAG).unwrap())
        .collect();
    let versions: Versions<[u64]> = makers[0].shares().versions(TAG).unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|n| {
                let publisher = &publishers[n % 2];
                scope.spawn(move || {
                    (0..50)
                        .map(|_| publisher.publish(&[7; 100]).unwrap().version())
                        .collect()
                })
            })
            .collect();
        let reader = scope.spawn(|| {
            let mut last = 0;
            while !is_over.load(Ordering::Relaxed) {
                let number = versions
                    .latest()
                    .unwrap()
                    .map_or(0, |share| share.version());
                assert!(number >= last, "{number} after {last}");
                last = number;
            }
        });
        let mut all: Vec<u64> = threads
            .into_iter()
            .flat_map(|thread| -> Vec<u64> { thread.join().unwrap() })
            .collect();
        is_over.store(true, Ordering::Relaxed);
        reader.join().unwrap();
        all.sort_unstable();
        assert_eq!(all, (1..=200).collect::<Vec<_>>());
    });
}

#[test]
fn a_version_has_the_type_of_the_first() {
    let scene = Scene::new();
    let (maker, other) = (scene.plugin("Maker"), scene.plugin("Other"));
    let first = maker.shares().publish(TAG, &[1_u32][..]).unwrap();
    let wrong = other
        .shares()
        .publish(TAG, &Table::named("no"))
        .unwrap_err();
    assert_eq!(wrong.code(), Code::ShareTypeMismatch, "{wrong}");
    let wrong = other.shares().publisher::<Table>(TAG).unwrap_err();
    assert_eq!(wrong.code(), Code::ShareTypeMismatch, "{wrong}");
    drop(first);
}

#[test]
fn a_task_is_woken_by_a_version() {
    let scene = Scene::new();
    let (maker, reader) = (scene.plugin("Maker"), scene.plugin("Reader"));
    let versions: Versions<Table> = reader.shares().versions(TAG).unwrap();
    let publisher: Publisher<Table> = maker.shares().publisher(TAG).unwrap();
    thread::scope(|scope| {
        let reads = scope.spawn(|| {
            for number in 1..=3 {
                let share = block_on(versions.changed_async()).unwrap();
                assert_eq!(share.version(), number);
            }
        });
        for number in 1..=3 {
            thread::sleep(Duration::from_millis(30));
            publisher
                .publish(&Table::named(&number.to_string()))
                .unwrap();
        }
        reads.join().unwrap();
    });
}

#[test]
fn who_waits_hears_that_its_plugin_closes() {
    let scene = Scene::new();
    let reader = scene.plugin("Reader");
    let versions: Versions<Table> = reader.shares().versions(TAG).unwrap();
    thread::scope(|scope| {
        let waits = scope.spawn(|| versions.changed(PATIENCE));
        thread::sleep(Duration::from_millis(30));
        drop(reader);
        assert_eq!(waits.join().unwrap().unwrap_err().code(), Code::Closed);
    });
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Thread(thread::Thread);
    impl std::task::Wake for Thread {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Thread(thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => thread::park(),
        }
    }
}

/// The versions that a watch has reported, in order.
fn noted() -> (
    Arc<Mutex<Vec<String>>>,
    impl Fn(ShareEvent) + Send + Sync + 'static,
) {
    let notes = Arc::new(Mutex::new(Vec::new()));
    let told = notes.clone();
    let note = move |event| {
        told.lock().unwrap().push(match event {
            ShareEvent::Here { version } => format!("here {version}"),
            ShareEvent::Gone => "gone".to_owned(),
            other => format!("{other:?}"),
        });
    };
    (notes, note)
}

#[test]
fn a_watch_tells_how_a_tag_stands() {
    for dispatch in [Dispatch::Thread, Dispatch::Pool(3)] {
        let scene = Scene::new();
        let (maker, watcher) = (scene.plugin("Maker"), scene.connect("Watcher", dispatch));
        let (notes, told) = noted();
        let watch = watcher.shares().watch(TAG, told).unwrap();
        let publisher: Publisher<Table> = maker.shares().publisher(TAG).unwrap();
        publisher.publish(&Table::named("1")).unwrap();
        eventually(|| *notes.lock().unwrap() == ["here 1"]);
        publisher.publish(&Table::named("2")).unwrap();
        eventually(|| *notes.lock().unwrap() == ["here 1", "here 2"]);
        drop(publisher);
        eventually(|| *notes.lock().unwrap() == ["here 1", "here 2", "gone"]);
        assert_eq!(watch.tag(), TAG);
        drop(watch);
        let made = maker.shares().publish(TAG, &Table::named("3")).unwrap();
        // A second watch is told the present version.
        let (others, told) = noted();
        let other = watcher.shares().watch(TAG, told).unwrap();
        eventually(|| *others.lock().unwrap() == ["here 1"]);
        assert_eq!(notes.lock().unwrap().len(), 3);
        drop((made, other));
    }
}

/// A watch's function runs like a handler: never while another handler of the plugin runs.
#[test]
fn a_watch_is_told_in_the_plugin_s_turn() {
    let scene = Scene::new();
    let (maker, watcher) = (scene.plugin("Maker"), scene.plugin("Watcher"));
    let is_running = Arc::new(AtomicBool::new(false));
    let (running, seen) = (is_running.clone(), Arc::new(AtomicBool::new(false)));
    let slow = watcher
        .provide("Watcher.Slow", move || {
            running.store(true, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(100));
            running.store(false, Ordering::SeqCst);
        })
        .unwrap();
    let (running, told) = (is_running.clone(), seen.clone());
    let watch = watcher.shares().watch(TAG, move |_| {
        assert!(!running.load(Ordering::SeqCst));
        told.store(true, Ordering::SeqCst);
    });
    let caller = scene.plugin("Caller");
    let to_slow = caller.subscriber::<(), ()>("Watcher.Slow").unwrap();
    thread::scope(|scope| {
        scope.spawn(|| to_slow.invoke(()).unwrap());
        eventually(|| is_running.load(Ordering::SeqCst));
        let made = maker.shares().publish(TAG, &Table::named("1")).unwrap();
        eventually(|| seen.load(Ordering::SeqCst));
        drop(made);
    });
    drop((watch, slow));
}

/// A watch may be dropped inside its own function, which may also use shares. It does not wait for itself.
#[test]
fn what_is_told_may_use_shares_and_end_the_watch() {
    let scene = Scene::new();
    let (maker, watcher) = (scene.plugin("Maker"), scene.plugin("Watcher"));
    let own: Arc<Mutex<Option<ShareWatch>>> = Arc::default();
    let (place, shares, read) = (
        own.clone(),
        watcher.shares(),
        Arc::new(Mutex::new(String::new())),
    );
    let name = read.clone();
    let watch = watcher.shares().watch(TAG, move |event| {
        if let ShareEvent::Here { .. } = event {
            let share: Share<Table> = shares.get(TAG).unwrap();
            *name.lock().unwrap() = share.name.to_string();
            drop(place.lock().unwrap().take());
        }
    });
    *own.lock().unwrap() = Some(watch.unwrap());
    let made = maker.shares().publish(TAG, &Table::named("told")).unwrap();
    eventually(|| *read.lock().unwrap() == "told");
    eventually(|| own.lock().unwrap().is_none());
    drop(made);
}

/// A plugin with a small quota that has let go of superseded versions can use newer ones: a version that it released
/// while that was the newest is not kept when there is a newer one.
#[test]
fn what_was_let_go_as_the_newest_is_not_kept_when_there_is_a_newer_one() {
    let scene = Scene::new();
    let little = Policy::new().read_shares("Osc.*").share_mib(1);
    scene.broker.set_policy("Reader", Some(little)).unwrap();
    let (maker, reader) = (scene.plugin("Maker"), scene.plugin("Reader"));
    let publish = |byte: u8| {
        let fill = |bytes: &mut [u8]| bytes.fill(byte);
        maker.shares().publish_with(TAG, 2 << 20, fill).unwrap()
    };
    let _first = publish(1);
    // It uses the share, and has no guard of it.
    let _user: Publisher<[u8]> = reader.shares().publisher(TAG).unwrap();
    for byte in 2..5 {
        let _newest = publish(byte);
        let share: Share<[u8]> = reader.shares().get(TAG).unwrap();
        assert_eq!(share[0], byte);
    }
}
