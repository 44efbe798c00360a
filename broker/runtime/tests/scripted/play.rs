//! A child that plays a script, for tests of the runtime: so the machine needs no other language.
//!
//! Each argument is a step; `@FILE` stands for the lines of a file. In a step, `${/POINTER}` stands for a part of the
//! frame that was waited for last, as JSON; `${env:NAME}` for a variable, as JSON; `${pid}` for the number of this
//! process; `${x:N}` for N letters, `${deep:N}` for N nested lists, `${fields:N}` for N fields.
//!
//! | step | |
//! |---|---|
//! | `send JSON` | writes a frame |
//! | `raw TEXT`, `err TEXT` | writes to stdout, stderr: unchanged except for the escapes `\n`, `\r`, `\t`, `\\` and `\xHH` |
//! | `log TEXT`, `errlog TEXT` | writes a line to stdout, stderr |
//! | `wait JSON` | waits for a frame that has these fields with these values, and answers pings; other frames are kept for later waits |
//! | `pass JSON` | the same, but `${/POINTER}` still refers to the frame before |
//! | `serve` | answers requests with their action and parameters, and pings, until stdin ends |
//! | `idle` | answers pings until stdin ends |
//! | `drain` | reads until stdin ends, answers nothing |
//! | `mute` | answers no pings from now on |
//! | `hang` | does nothing, for ever |
//! | `sleep MS` | |
//! | `close stdin`, `stdout` or `stderr` | |
//! | `exit CODE`, `die SIGNAL` | |
//! | `ignore SIGNAL` | blocks a signal for ever |
//! | `fork STEP` | starts a process in this group that has the same pipes and plays one step |
//! | `leave STEP` | the same in a group of its own |
//! | `flood stdout`, `stderr` or `frames`, `COUNT SIZE` | writes so many lines of that size; for ever if COUNT is 0 |
//! | `flood line COUNT SIZE` | the same on stdout, without line breaks |
//! | `append FILE TEXT` | adds a line to a file |
//! | `on N STEP`, `after N STEP` | plays the step only in the Nth start, or in later ones; the file `starts` in the folder counts the starts |
//! | `repeat N STEP` | plays the step N times; `${n}` in it is the number of the round, from 0 |
//! | `provide GATE` | joins the bus through shared memory, and provides a gate that returns the number that it takes, and hangs for 13 |
//! | `host FOLDER` | is a broker, and a runtime of the plugins in that folder, until stdin ends; prints `ready` when all are |
//! | `env` | writes all variables as log lines, `NAME=VALUE`, in order |
#![forbid(unsafe_code)]

mod frames;
mod script;
mod steps;

fn main() {
    let steps = match script::read(std::env::args().skip(1)) {
        Ok(steps) => steps,
        Err(why) => return fail(&why),
    };
    let mut player = steps::Player::new(script::start_of(&steps));
    for step in steps {
        if let Err(why) = player.play(&step) {
            return fail(&why);
        }
    }
}

/// Ends with a code that says that the script itself is wrong.
fn fail(why: &str) {
    // Nobody may read this any more.
    let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("script: {why}\n"));
    std::process::exit(70);
}
