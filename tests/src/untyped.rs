//! A plugin whose gates have no types of Rust: they take JSON, archives or both, at once or later.

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use callgate_client::dynamic::{
    self, Body, Encoding, Field, Primitive, Responder, Schema, Signature, Takes, TypeDef,
};
use callgate_client::{
    Context, HandlerError, Plugin, Provider, Result, action_signature_of, signature_of,
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

/// What answers calls on a thread of its own.
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
