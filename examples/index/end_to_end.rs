//! Tests of the program as a whole.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program, which Cargo puts into `examples` beside the `deps` that this test is in.
fn program() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.push("examples/index");
    assert!(
        path.exists(),
        "`cargo test` builds {}, and so does `cargo build --example index`",
        path.display()
    );
    path
}

/// A file to index, and a bus of its own. Its persistent shares are removed at the end.
struct Scene {
    program: PathBuf,
    folder: TempDir,
}

impl Scene {
    fn new(text: &str) -> Scene {
        let scene = Scene {
            program: program(),
            folder: tempfile::tempdir().unwrap(),
        };
        fs::write(scene.file(), text).unwrap();
        scene
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("text")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(self.file()).args(arguments).arg("--socket");
        command.arg(self.folder.path().join("bus.sock"));
        command
    }

    /// Looks words up and ends; returns the lines that it printed.
    fn find(&self, words: &[&str], more: &[&str]) -> Vec<String> {
        let words = words.iter().flat_map(|word| ["--find", word]);
        let arguments: Vec<&str> = words.chain(more.iter().copied()).collect();
        lines(&self.command(&arguments).output().unwrap())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // A file that does not exist could not be indexed.
        let _ = fs::write(self.file(), "");
        let _ = self.command(&["--find", "a", "--forget"]).output();
    }
}

fn lines(output: &Output) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(str::to_owned).collect()
}

/// The program, which is given words one by one.
struct Session {
    process: Child,
    words: ChildStdin,
    lines: Receiver<String>,
}

impl Session {
    fn start(scene: &Scene) -> Session {
        let mut command = scene.command(&[]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let words = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            output
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        Session {
            process,
            words,
            lines,
        }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap()
    }

    fn ask(&mut self, word: &str) -> String {
        writeln!(self.words, "{word}").unwrap();
        self.line()
    }

    /// Asks again and again until the answer begins like this.
    fn ask_until(&mut self, word: &str, start: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask(word);
            if answer.starts_with(start) {
                return answer;
            }
            assert!(Instant::now() < until, "{answer}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn words_are_looked_up_by_one_reader_after_the_other() {
    let scene = Scene::new("the cat\nthe dog\n");
    let found = scene.find(&["the", "CAT", "bird", "dog"], &[]);
    let path = scene.file();
    let expected = [
        &format!(
            "{}: 4 words, 3 different (version 1, made by indexer)",
            path.display()
        ),
        "the: 2 times, in line 1, 2 (version 1, reader 1)",
        "CAT: once, in line 1 (version 1, reader 2)",
        "bird: 0 times (version 1, reader 3)",
        "dog: once, in line 2 (version 1, reader 1)",
    ];
    assert_eq!(found, expected);
}

/// The version's number shows whether the index was made or found: a new index has version 1.
#[test]
fn the_index_is_found_again_as_long_as_the_file_is_the_same() {
    let scene = Scene::new("one");
    let version = |scene: &Scene, more: &[&str]| scene.find(&["one"], more).pop().unwrap();
    assert_eq!(
        version(&scene, &[]),
        "one: once, in line 1 (version 1, reader 1)"
    );
    assert_eq!(
        version(&scene, &[]),
        "one: once, in line 1 (version 1, reader 1)"
    );
    fs::write(scene.file(), "one one").unwrap();
    assert_eq!(
        version(&scene, &[]),
        "one: 2 times, in line 1 (version 2, reader 1)"
    );
    assert_eq!(
        version(&scene, &["--forget"]),
        "one: 2 times, in line 1 (version 2, reader 1)"
    );
    assert_eq!(
        version(&scene, &[]),
        "one: 2 times, in line 1 (version 1, reader 1)"
    );
}

#[test]
fn readers_answer_from_the_new_version_when_the_file_has_changed() {
    let scene = Scene::new("one");
    let mut session = Session::start(&scene);
    assert!(session.line().ends_with("(version 1, made by indexer)"));
    assert!(session.ask("one").starts_with("one: once"));
    fs::write(scene.file(), "one one").unwrap();
    session.ask_until("one", "one: 2 times");
    replace(&scene.file(), "one\none\none");
    session.ask_until("one", "one: 3 times, in line 1, 2, 3");
    // While the file is missing, readers use the last index.
    fs::remove_file(scene.file()).unwrap();
    assert!(session.ask("one").starts_with("one: 3 times"));
}

/// Replaces a file as editors do.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let scene = Scene::new("one");
    fs::remove_file(scene.file()).unwrap();
    let output = scene.command(&["--find", "one"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let path = scene.file();
    assert!(
        said.contains(&format!("indexer: {}: No such file", path.display())),
        "{said}"
    );
    assert!(
        said.ends_with("index: the indexer has ended; there is no index\n"),
        "{said}"
    );
}
