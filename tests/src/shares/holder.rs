//! The role `share-holder NAME`: it does with shares what the lines of its input say, and answers with what it found.
//!
//! Lines and their answers; an error is answered by its code:
//!
//! | line | does | answer |
//! |---|---|---|
//! | `make TAG NUMBER LEN` | gets the share, or makes a value of so many bytes | the number that the share has |
//! | `words TAG NUMBER LEN` | does the same with a slice | the same |
//! | `hang TAG` | begins to make it, and never finishes | `making`, when the factory runs |
//! | `get TAG`, `view TAG` | gets it as a value, as a slice | its number |
//! | `map TAG` | gets it as a slice, and does not read it | `OK` |
//! | `publish TAG NUMBER LEN` | publishes a value | its version |
//! | `follow TAG` | follows its versions | `OK` |
//! | `latest TAG` | takes the newest version of what it follows | its number, or `none` |
//! | `wait TAG` | waits for the next version on a thread of its own | `OK`, and later `changed NUMBER` |
//! | `watch TAG` | watches it | `OK` |
//! | `check TAG` | reads what it holds | its number |
//! | `drop TAG` | lets go of what it holds, and stops following it | `OK` |
//! | `broker` | | the process of the broker that it has come back to, or 0 |

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use callgate_client::{BrokerEvent, Plugin, Result, Share, ShareWatch, Shares, Versions};

use super::{Content, answer, check_words, fill_words, number};
use crate::PATIENCE;

enum Held {
    Value(Share<Content>),
    Slice(Share<[u64]>),
}

struct Holder {
    shares: Shares,
    held: HashMap<String, Held>,
    followed: HashMap<String, Versions<Content>>,
    watches: Vec<ShareWatch>,
}

pub(super) fn run(name: &str, _: &[String]) -> Result<()> {
    let plugin = Plugin::connect(name)?;
    let broker = Arc::<AtomicU32>::default();
    let told = broker.clone();
    plugin.on_broker(move |event| {
        if let BrokerEvent::Back { pid, .. } = event {
            told.store(pid, Ordering::Relaxed);
        }
    });
    let mut holder = Holder {
        shares: plugin.shares().timeout(PATIENCE),
        held: HashMap::new(),
        followed: HashMap::new(),
        watches: Vec::new(),
    };
    answer(|words| match words[0] {
        "broker" => broker.load(Ordering::Relaxed).to_string(),
        _ => {
            let done = holder.obey(words, words[1]);
            done.unwrap_or_else(|error| error.code().to_string())
        }
    });
    Ok(())
}

impl Holder {
    fn obey(&mut self, words: &[&str], tag: &str) -> Result<String> {
        match words[0] {
            "make" => {
                let (n, len) = (number(words, 2), number(words, 3) as usize);
                let made = self
                    .shares
                    .get_or_create(tag, || Content::new(tag, n, len))?;
                self.hold(tag, Held::Value(made));
            }
            "words" => {
                let (n, len) = (number(words, 2), number(words, 3) as usize / 8);
                let fill = |slice: &mut [u64]| fill_words(tag, n, slice);
                // A gigabyte takes long in a debug build.
                let patient = self.shares.clone().timeout(10 * PATIENCE);
                let patient = patient.make_within(10 * PATIENCE);
                let made = patient.create_with(tag, len, fill)?;
                self.hold(tag, Held::Slice(made));
            }
            "hang" => {
                self.hang(tag);
                return Ok("making".to_owned());
            }
            "get" => {
                let found = self.shares.get(tag)?;
                self.hold(tag, Held::Value(found));
            }
            "view" => {
                let found = self.shares.get(tag)?;
                self.hold(tag, Held::Slice(found));
            }
            "map" => {
                let found = self.shares.get(tag)?;
                self.hold(tag, Held::Slice(found));
                return Ok("OK".to_owned());
            }
            "publish" => {
                let content = Content::new(tag, number(words, 2), number(words, 3) as usize);
                let newest = self.shares.publish(tag, &content)?;
                let version = newest.version();
                self.hold(tag, Held::Value(newest));
                return Ok(version.to_string());
            }
            "follow" => {
                self.followed
                    .insert(tag.to_owned(), self.shares.versions(tag)?);
                return Ok("OK".to_owned());
            }
            "latest" => {
                let newest = self.followed[tag].latest()?;
                let number = newest.map(|newest| newest.check(tag).to_string());
                return Ok(number.unwrap_or_else(|| "none".to_owned()));
            }
            "wait" => {
                self.wait(tag)?;
                return Ok("OK".to_owned());
            }
            "watch" => {
                self.watches.push(self.shares.watch(tag, |_| {})?);
                return Ok("OK".to_owned());
            }
            "check" => {}
            "drop" => {
                self.held.remove(tag);
                self.followed.remove(tag);
                return Ok("OK".to_owned());
            }
            other => panic!("{other}"),
        }
        Ok(self.check(tag).to_string())
    }

    fn hold(&mut self, tag: &str, held: Held) {
        self.held.insert(tag.to_owned(), held);
    }

    fn check(&self, tag: &str) -> u64 {
        match &self.held[tag] {
            Held::Value(value) => value.check(tag),
            Held::Slice(slice) => check_words(tag, slice),
        }
    }

    /// Waits until there is a newer version.
    fn wait(&self, tag: &str) -> Result<()> {
        let versions: Versions<Content> = self.shares.versions(tag)?;
        versions.latest()?;
        let tag = tag.to_owned();
        thread::spawn(move || match versions.changed(100 * PATIENCE) {
            Ok(Some(newest)) => println!("changed {}", newest.check(&tag)),
            // The plugin has closed.
            other => println!("{:?}", other.map(|_| ())),
        });
        Ok(())
    }

    /// Makes a share on a thread of its own, and never finishes. Waits until that thread is in the factory.
    fn hang(&self, tag: &str) {
        let (shares, tag) = (self.shares.clone(), tag.to_owned());
        let (begun, begins) = mpsc::channel();
        thread::spawn(move || {
            // The outcome does not matter: nobody waits for it.
            let _ = shares.get_or_create(&tag, || {
                begun.send(()).expect("it is waited for");
                thread::sleep(100 * PATIENCE);
                Content::new("", 0, 0)
            });
        });
        begins.recv_timeout(PATIENCE).expect("the factory begins");
    }
}
