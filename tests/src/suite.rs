//! The gates of the conformance suite: the same ones in a process of their own, in each dispatch
//! mode, and in the test's process.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use callgate_client::{Context, Dispatch, HandlerError, Plugin, Provider, Result};
use serde_json::json;

/// What the gates do to one another.
#[derive(Default)]
struct State {
    providers: Mutex<Vec<(&'static str, Provider)>>,
    runs: AtomicU64,
    saw_cancel: AtomicBool,
}

impl State {
    /// Withdraws what was provided under a name; whether there was any.
    fn withdraw(&self, name: &str) -> bool {
        let mut all = self
            .providers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let place = all.iter().position(|(other, _)| *other == name);
        let gone = place.map(|place| all.remove(place));
        // Dropped when nobody else waits for the list.
        drop(all);
        gone.is_some()
    }

    fn keep(&self, name: &'static str, provider: Provider) {
        let mut all = self
            .providers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.push((name, provider));
    }
}

/// A plugin's way of running handlers, as the suite's arguments say it.
pub fn dispatch(mode: &str) -> Dispatch {
    match mode {
        "thread" => Dispatch::Thread,
        "pool" => Dispatch::Pool(3),
        "pump" => Dispatch::Pump,
        other => panic!("unknown mode {other}"),
    }
}

/// Provides all gates of the suite, which stay for as long as what is returned.
///
/// # Errors
///
/// As [`Plugin::provide`].
pub fn provide(plugin: &Arc<Plugin>) -> Result<Box<dyn Send>> {
    let state = Arc::new(State::default());
    plain(plugin, &state)?;
    failing(plugin, &state)?;
    timed(plugin, &state)?;
    changing(plugin, &state)?;
    Ok(Box::new(state))
}

fn plain(plugin: &Arc<Plugin>, state: &State) -> Result<()> {
    let add = plugin.provide("S.Add", |a: u64, b: u64| a.wrapping_add(b))?;
    state.keep("S.Add", add);
    let echo = plugin.provide("S.Echo", |bytes: Vec<u8>| bytes)?;
    state.keep("S.Echo", echo);
    let who = plugin.provide("S.Who", |context: Context<'_>| {
        context.caller().name().to_owned()
    })?;
    state.keep("S.Who", who);
    // Calls back, as long as it is told to; gives how deep it went.
    let next = plugin.subscriber::<(u64,), u64>("T.Nest")?;
    let nest = plugin.provide("S.Nest", move |context: Context<'_>, n: u64| {
        let before = context.depth();
        let depth = match n {
            0 => u64::from(before),
            _ => next.invoke((n - 1,)).map_err(HandlerError::from)?,
        };
        assert_eq!(context.depth(), before);
        Ok::<_, HandlerError>(depth)
    })?;
    state.keep("S.Nest", nest);
    Ok(())
}

fn failing(plugin: &Arc<Plugin>, state: &State) -> Result<()> {
    let fail = plugin.provide("S.Fail", |n: u64| -> Result<u64, HandlerError> {
        let error = HandlerError::new("NO_SUCH_SLOT", format!("there is no slot {n}"));
        Err(error.with_context(json!({ "highest": 7 })))
    })?;
    state.keep("S.Fail", fail);
    let panic = plugin.provide("S.Panic", |text: String| -> u64 { panic!("{text}") })?;
    state.keep("S.Panic", panic);
    Ok(())
}

fn timed(plugin: &Arc<Plugin>, state: &Arc<State>) -> Result<()> {
    let counted = state.clone();
    let slow = plugin.provide("S.Slow", move |millis: u64| {
        std::thread::sleep(Duration::from_millis(millis));
        counted.runs.fetch_add(1, Ordering::SeqCst)
    })?;
    state.keep("S.Slow", slow);
    let counted = Arc::downgrade(state);
    let runs = plugin.provide("S.Runs", move || {
        let state = counted.upgrade();
        state.map_or(0, |state| state.runs.load(Ordering::SeqCst))
    })?;
    state.keep("S.Runs", runs);
    let remaining = plugin.provide("S.Remaining", |context: Context<'_>| {
        context.remaining().as_millis() as u64
    })?;
    state.keep("S.Remaining", remaining);
    let noted = Arc::downgrade(state);
    let until = plugin.provide("S.UntilCancelled", move |context: Context<'_>| {
        let end = Instant::now() + crate::PATIENCE;
        while !context.is_cancelled() && Instant::now() < end {
            std::thread::yield_now();
        }
        if let Some(state) = noted.upgrade() {
            state
                .saw_cancel
                .store(context.is_cancelled(), Ordering::SeqCst);
        }
    })?;
    state.keep("S.UntilCancelled", until);
    let noted = Arc::downgrade(state);
    let saw = plugin.provide("S.SawCancel", move || {
        let state = noted.upgrade();
        state.is_some_and(|state| state.saw_cancel.load(Ordering::SeqCst))
    })?;
    state.keep("S.SawCancel", saw);
    Ok(())
}

/// Gates that come and go, on demand and by themselves.
fn changing(plugin: &Arc<Plugin>, state: &Arc<State>) -> Result<()> {
    let function = plugin.provide("S.Both", |n: u64| n + 1)?;
    state.keep("S.Both function", function);
    let counted = Arc::downgrade(state);
    let action = plugin.provide_action("S.Both", move |n: u64| {
        if let Some(state) = counted.upgrade() {
            state.runs.fetch_add(n, Ordering::SeqCst);
        }
    })?;
    state.keep("S.Both action", action);
    let only = plugin.provide_action("S.OnlyAction", |_: u64| ())?;
    state.keep("S.OnlyAction", only);
    let own = (Arc::downgrade(plugin), Arc::downgrade(state));
    let withdraw = plugin.provide("S.Withdraw", {
        let state = own.1.clone();
        move |name: String| state.upgrade().is_some_and(|state| state.withdraw(&name))
    })?;
    state.keep("S.Withdraw", withdraw);
    leaving(&own)?;
    let again = own;
    let register = plugin.provide("S.Register", move || -> Result<(), HandlerError> {
        Ok(leaving(&again)?)
    })?;
    state.keep("S.Register", register);
    Ok(())
}

/// Provides a gate that withdraws itself while it runs.
fn leaving((plugin, state): &(Weak<Plugin>, Weak<State>)) -> Result<()> {
    let (Some(plugin), Some(kept)) = (plugin.upgrade(), state.upgrade()) else {
        return Ok(());
    };
    let state = state.clone();
    let leave = plugin.provide("S.Leave", move |n: u64| {
        let gone = state
            .upgrade()
            .is_some_and(|state| state.withdraw("S.Leave"));
        (gone, n)
    })?;
    kept.keep("S.Leave", leave);
    Ok(())
}

/// Is the suite's provider: says `ready`, and serves until its input ends.
///
/// # Errors
///
/// As [`provide`].
pub fn serve(plugin: Plugin, mode: &str) -> Result<()> {
    let plugin = Arc::new(plugin);
    let _gates = provide(&plugin)?;
    let ended = Arc::new(AtomicBool::new(false));
    let noticed = ended.clone();
    std::thread::spawn(move || {
        std::io::stdin().lines().for_each(drop);
        noticed.store(true, Ordering::SeqCst);
    });
    // Panics are part of the suite, and a million of them would fill a disk.
    std::panic::set_hook(Box::new(|_| {}));
    println!("ready");
    while !ended.load(Ordering::SeqCst) {
        match dispatch(mode) {
            Dispatch::Pump => {
                plugin.pump(Instant::now() + Duration::from_millis(20))?;
            }
            _ => drop(plugin.wait_closed_for(Duration::from_millis(20))),
        }
    }
    Ok(())
}
