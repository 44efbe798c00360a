use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use callgate::Broker;

use super::*;
use crate::api::plugin::Plugin;

/// Two plugins of this process, and the provider's answers to the other's calls.
struct Scene {
    answers: Answers,
    _plugins: [Plugin; 2],
    _broker: Broker,
}

fn scene() -> Scene {
    let broker = Broker::builder().without_socket().start().unwrap();
    let plugins = ["Provider", "Caller"].map(|name| {
        let builder = Plugin::builder(name).descriptor(broker.connect().unwrap());
        builder.direct_calls(false).connect().unwrap()
    });
    plugins[0].provide("Provider.Gate", || {}).unwrap().keep();
    let gate = plugins[1].subscriber::<(), ()>("Provider.Gate").unwrap();
    gate.invoke(()).unwrap();
    Scene {
        answers: Answers::new(plugins[0].links()[0].clone(), false, Arc::default()),
        _plugins: plugins,
        _broker: broker,
    }
}

/// A call took a lock although the last answer in its slot had not been left for later.
#[test]
fn a_call_in_a_free_slot_takes_no_lock() {
    let scene = scene();
    let answers = &scene.answers;
    let kept = answers.kept.lock();
    let (begun, beginning) = channel();
    thread::scope(|scope| {
        scope.spawn(|| begun.send(answers.begin(5).is_ok()).unwrap());
        let outcome = beginning.recv_timeout(Duration::from_secs(10));
        drop(kept);
        assert_eq!(outcome, Ok(true));
    });
    assert!(answers.begin(5).is_err(), "that call is not answered yet");
}

/// So many bytes are kept until there is space for them, and not one more.
#[test]
fn answers_that_wait_are_as_long_together_as_the_limit_says() {
    let scene = scene();
    let answers = &scene.answers;
    let push = |slot, len: usize| {
        let mut reply = ReplyBuffer::new();
        reply.put_bytes(&vec![7; len]).unwrap();
        let generation = 1;
        answers.push_late(Late {
            ticket: Ticket { slot, generation },
            by: By::Server,
            ok: true,
            reply,
            deadline: u64::MAX,
        });
        answers.kept.lock().late.len()
    };
    // One alone may be longer, but then it is the only one.
    assert_eq!(push(20, MAX_LATE - 5000), 1);
    assert_eq!(push(21, 5000), 2);
    assert_eq!(push(22, 1), 2);
    let notes = answers.take_notes();
    assert!(notes.is_some_and(|(_, notes)| notes[0].code() == Code::Overloaded));
    answers.end_unanswered();
}
