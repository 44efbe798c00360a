//! Reading stories.

use serde_json::{Value, json};

/// One case.
pub(crate) struct Story {
    pub(crate) title: String,
    /// Its plugin.
    pub(crate) plugin: String,
    manifest: Value,
    /// The scripts of the plugin and of the second one.
    scripts: [Vec<String>; 2],
    pub(crate) is_unready: bool,
    pub(crate) deeds: Vec<Deed>,
}

/// A line of a story that the test acts on.
pub(crate) struct Deed {
    /// The number of the line in its file.
    pub(crate) line: usize,
    pub(crate) word: String,
    /// The call that it is about.
    pub(crate) label: String,
    pub(crate) rest: String,
}

/// All stories of a file.
pub(crate) fn read(subject: &str, text: &str) -> Vec<Story> {
    let mut stories = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if let Some(title) = line.strip_prefix("# ") {
            let plugin = format!("{subject}-{}", stories.len() + 1);
            stories.push(Story::new(title, plugin));
        } else if !line.is_empty()
            && let Some(story) = stories.last_mut()
        {
            story.add(at + 1, line);
        }
    }
    stories
}

impl Story {
    fn new(title: &str, plugin: String) -> Story {
        Story {
            title: title.to_owned(),
            plugin,
            manifest: json!({"version": "1.0.0"}),
            scripts: Default::default(),
            is_unready: false,
            deeds: Vec::new(),
        }
    }

    fn add(&mut self, number: usize, line: &str) {
        let line = line.replace('%', &self.plugin);
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let (second, word) = match word.strip_prefix('2') {
            Some(word) => (1, word),
            None => (0, word),
        };
        let script = &mut self.scripts[second];
        match word {
            "may" => self.manifest["runtime_capabilities"] = rest.split(' ').collect(),
            "with" => self.add_keys(rest),
            "unready" => self.is_unready = true,
            ">" if rest.starts_with('{') => script.push(format!("send {rest}")),
            ">" => script.push(rest.to_owned()),
            "<" | "<~" => {
                let wanted = match word {
                    "<" => json!({}),
                    _ => texts(&parse(rest)),
                };
                script.extend([format!("wait {wanted}"), "log < ${}".to_owned()]);
                self.deed(number, ["<", "2<"][second], rest);
            }
            "<<" => self.deed(number, ["<", "2<"][second], rest),
            "quiet" => {
                let fence = r#"{"type":"permissions.fence","id":"fence"}"#;
                script.push(format!("send {fence}"));
                script.extend(["wait {}".to_owned(), "log < ${}".to_owned()]);
                self.deed(number, ["<", "2<"][second], r#"{"id":"fence"}"#);
            }
            word => self.deed(number, word, rest),
        }
    }

    fn deed(&mut self, line: usize, word: &str, rest: &str) {
        let (word, label) = word.split_once('@').unwrap_or((word, ""));
        self.deeds.push(Deed {
            line,
            word: word.to_owned(),
            label: label.to_owned(),
            rest: rest.to_owned(),
        });
    }

    fn add_keys(&mut self, keys: &str) {
        if let (Value::Object(keys), Value::Object(manifest)) = (parse(keys), &mut self.manifest) {
            manifest.extend(keys);
        }
    }

    /// The plugins and their manifests.
    pub(crate) fn plugins(&self) -> Vec<(String, Value)> {
        let first = (self.plugin.clone(), &self.scripts[0]);
        let second = (format!("{}b", self.plugin), &self.scripts[1]);
        let mut plugins = vec![first];
        if !second.1.is_empty() {
            plugins.push(second);
        }
        let has_two = plugins.len() == 2;
        let made = plugins.into_iter().map(|(name, script)| {
            let manifest = self.manifest_of(&name, (script, has_two));
            (name, manifest)
        });
        made.collect()
    }

    fn manifest_of(&self, name: &str, (script, waits): (&[String], bool)) -> Value {
        let mut command = vec![env!("CARGO_BIN_EXE_callgate-scripted")];
        if !self.is_unready {
            command.push(r#"send {"type":"ready"}"#);
        }
        if waits {
            command.push(r#"wait {"type":"file.uploaded"}"#);
        }
        command.extend(script.iter().map(String::as_str));
        command.push("idle");
        let mut manifest = self.manifest.clone();
        manifest["name"] = name.into();
        manifest["backend"] = json!({"command": command});
        manifest
    }
}

pub(crate) fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The fields of a frame that are texts, by which `<~` recognizes it.
fn texts(frame: &Value) -> Value {
    let fields = frame.as_object().into_iter().flatten();
    let is_known = |value: &Value| value.is_string() && value != "*";
    let known = fields.filter(|(_, value)| is_known(value));
    known
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
