//! A plugin whose gates have no Rust types: they take JSON, archives or both, and answer at once or later.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use callgate_client::dynamic::{
    self, Body, Encoding, Field, Prefix, Primitive, Responder, Schema, Signature, Takes, TypeDef,
};
use callgate_client::{
    Context, GateOptions, HandlerError, Plugin, Provider, Result, action_signature_of, signature_of,
};
use serde_json::{Value, json};

/// Plays `untyped NAME MODE`: provides the gates until its input ends.
pub fn play(role: &str, name: &str, more: &[String]) -> bool {
    if role != "untyped" {
        return false;
    }
    let builder = Plugin::builder(name).dispatch(crate::suite::dispatch(&more[0]));
    let plugin = builder.connect().expect("the bus");
    let _stage = provide(&plugin, name).expect("the gates are free");
    println!("ready");
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    true
}

/// A struct with two numbers, as a script would describe it: `(Point) -> f64`.
pub fn made_signature() -> Signature {
    let number = |name: &str| Field {
        name: name.to_owned(),
        schema: Schema::Primitive(Primitive::F64),
        default: false,
    };
    Signature {
        params: Some(vec![Schema::Named(0)]),
        result: Some(Schema::Primitive(Primitive::F64)),
        types: vec![TypeDef {
            name: "Point".to_owned(),
            body: Body::Struct(vec![number("x"), number("y")]),
        }],
    }
}

fn repeat(values: &[Value]) -> Result<Value, HandlerError> {
    let (text, times) = (values[0].as_str(), values[1].as_u64());
    let (Some(text), Some(times)) = (text, times) else {
        return Err(HandlerError::new("ODD", "not a text and a number"));
    };
    Ok(json!(text.repeat(times as usize)))
}

/// A thread that answers calls later.
fn elsewhere() -> Mutex<Sender<Box<dyn FnOnce() + Send>>> {
    let (sender, jobs) = channel::<Box<dyn FnOnce() + Send>>();
    thread::spawn(move || jobs.into_iter().for_each(|job| job()));
    Mutex::new(sender)
}

fn either(encoding: Encoding, bytes: &[u8]) -> Result<Vec<u8>, HandlerError> {
    Ok(match encoding {
        Encoding::Archive => {
            let (n,) = dynamic::decode::<(u32,)>(bytes)?;
            dynamic::encode(&(n + 1))?.to_vec()
        }
        Encoding::Json => {
            let (n,): (u32,) = serde_json::from_slice(bytes)?;
            json!(n + 2).to_string().into_bytes()
        }
    })
}

/// Provides all gates of a plugin of this name.
///
/// # Errors
///
/// As [`Plugin::provide`].
pub fn provide(plugin: &Plugin, name: &str) -> Result<Vec<Provider>> {
    let gate = |what: &str| format!("{name}.{what}");
    let of_repeat = signature_of::<(String, u32), String>();
    let of_number = signature_of::<(u32,), u32>();
    let with = |what: &str, signature: &Signature, takes| {
        dynamic::provide_with(plugin, &gate(what), signature, takes)
    };
    let threads = [elsewhere(), elsewhere()];
    let [one, other] = threads;
    Ok(vec![
        with(
            "Repeat",
            &of_repeat,
            Takes::values(|_, values| repeat(&values)),
        )?,
        with(
            "RepeatLater",
            &of_repeat,
            Takes::values_later(move |_, values, responder: Responder| {
                let answer = move || {
                    let _ = match repeat(&values) {
                        Ok(value) => responder.reply_value(&value),
                        Err(error) => responder.fail(error),
                    };
                };
                let _ = one.lock().expect("no panic").send(Box::new(answer));
            }),
        )?,
        with(
            "Text",
            &signature_of::<(Vec<u32>,), Vec<u32>>(),
            Takes::json(|_, text| {
                let inner = text
                    .trim()
                    .strip_prefix('[')
                    .and_then(|text| text.strip_suffix(']'));
                Ok(inner.unwrap_or("null").to_owned())
            }),
        )?,
        with(
            "Either",
            &of_number,
            Takes::either(|_, encoding, bytes| either(encoding, bytes)),
        )?,
        with(
            "EitherLater",
            &of_number,
            Takes::either_later(move |_, bytes, responder| {
                let bytes = bytes.to_vec();
                let answer = move || {
                    let _ = match either(responder.encoding(), &bytes) {
                        Ok(answer) => responder.reply(&answer),
                        Err(error) => responder.fail(error),
                    };
                };
                let _ = other.lock().expect("no panic").send(Box::new(answer));
            }),
        )?,
        with(
            "Broken",
            &of_number,
            Takes::json(|_, _| Ok("{\"a\":".to_owned())),
        )?,
        with(
            "BrokenLater",
            &of_number,
            Takes::json_later(|_, _, responder| {
                let _ = responder.reply(b"1 2");
            }),
        )?,
        with(
            "Length",
            &made_signature(),
            Takes::values(|_, values| {
                let side = |name: &str| values[0][name].as_f64().unwrap_or(f64::NAN);
                Ok(json!(side("x").hypot(side("y"))))
            }),
        )?,
        with(
            "Note",
            &action_signature_of::<(u32,)>(),
            Takes::values(|context: Context<'_>, _| Ok(json!(context.gate()))),
        )?,
        with(
            "Archives",
            &of_number,
            Takes::archives(|_, bytes| Ok(bytes.to_vec())),
        )?,
    ])
}

/// Plays `prefixes NAME MODE`: does what [`provide_prefixes`] does, and obeys the lines of its input. `provide GATE`
/// provides a gate, or a prefix, and prints the error if that fails. `withdraw` withdraws what was provided last.
pub fn play_prefixes(role: &str, name: &str, more: &[String]) -> bool {
    if role != "prefixes" {
        return false;
    }
    let builder = Plugin::builder(name).dispatch(crate::suite::dispatch(&more[0]));
    let plugin = builder.connect().expect("the bus");
    let mut all = provide_prefixes(&plugin, name).expect("the prefixes are free");
    println!("ready");
    for line in std::io::stdin().lines() {
        let line = line.expect("a line");
        match line.split_once(' ') {
            Some((_, gate)) => println!("{}", provide_one(&plugin, gate, &mut all)),
            None => {
                drop(all.pop());
                println!("withdrawn");
            }
        }
    }
    true
}

fn provide_one(plugin: &Plugin, gate: &str, all: &mut Vec<Provider>) -> String {
    let named = || Takes::values(|context, _| Ok(json!(context.gate())));
    let provided = match gate.ends_with('.') {
        true => dynamic::provide_prefix(plugin, gate, named()),
        false => dynamic::provide_with(plugin, gate, &signature_of::<(), String>(), named()),
    };
    match provided {
        Ok(provider) => {
            all.push(provider);
            "provided".to_owned()
        }
        Err(error) => error.code().as_str().to_owned(),
    }
}

/// Provides prefixes of all kinds under a plugin's name.
///
/// # Errors
///
/// As [`dynamic::provide_prefix`].
pub fn provide_prefixes(plugin: &Plugin, name: &str) -> Result<Vec<Provider>> {
    let under = |what: &str| Prefix::new(format!("{name}.{what}."));
    let told = || Takes::values(|context: Context<'_>, values| Ok(json!([context.gate(), values])));
    let some = |name: &str| match name.rsplit('.').next() {
        Some("no") => false,
        Some("panic") => panic!("a predicate that was to panic"),
        _ => true,
    };
    let jobs = elsewhere();
    let later = Takes::json_later(move |context, text, responder| {
        let answer = json!([context.gate(), text]).to_string();
        let answer = move || {
            let _ = responder.reply(answer.as_bytes());
        };
        let _ = jobs.lock().expect("no panic").send(Box::new(answer));
    });
    let numbers = || signature_of::<(u32,), u32>();
    let busy = Arc::new(AtomicU32::new(0));
    let one = under("one");
    plugin.set_gate_options(&format!("{name}.one."), GateOptions::new().limit(1))?;
    Ok(vec![
        dynamic::provide_prefix(plugin, under("all"), told())?,
        dynamic::provide_prefix(
            plugin,
            under("all.deep"),
            Takes::values(|_, _| Ok(json!("deep"))),
        )?,
        plugin.provide(&format!("{name}.all.exact"), |n: u32| n + 1)?,
        dynamic::provide_prefix(plugin, under("some").only(some), told())?,
        dynamic::provide_prefix(plugin, under("later"), later)?,
        dynamic::provide_prefix(
            plugin,
            under("typed").with_signature(numbers()),
            Takes::either(|_, encoding, bytes| either(encoding, bytes)),
        )?,
        dynamic::provide_prefix(plugin, under("done").actions(), told())?,
        dynamic::provide_prefix(
            plugin,
            one,
            Takes::values(move |_, _| {
                let others = busy.fetch_add(1, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(5));
                busy.fetch_sub(1, Ordering::SeqCst);
                Ok(json!(others))
            }),
        )?,
    ])
}
