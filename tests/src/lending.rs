//! A plugin that takes raw payloads, and one that sends them on loan when told to.

use std::collections::VecDeque;
use std::io::BufRead;

use callgate_client::{Context, Loan, Payload, Plugin, Result};

use crate::PATIENCE;

/// Provides `NAME.Length`, which takes raw bytes and returns how many they were, and `NAME.Ones`, which returns so
/// many bytes.
pub fn take(plugin: &Plugin, name: &str) -> Result<()> {
    let length = |_: Context<'_>, bytes: Payload<'_>| bytes.len() as u64;
    let _length = plugin.provide_raw(&format!("{name}.Length"), length)?;
    // Zeros would take no memory until somebody writes to them.
    let ones = |len: u64| vec![1_u8; len as usize];
    let _ones = plugin.provide(&format!("{name}.Ones"), ones)?;
    println!("ready");
    std::io::stdin().lock().lines().for_each(drop);
    Ok(())
}

/// For each line `send MIB` of its input it sends so many MiB to `Length` of a plugin, and prints the outcome. `keep
/// MIB` borrows the memory, keeps it and sends nothing.
pub fn lend(plugin: &Plugin, to: &str) -> Result<()> {
    let length = plugin.raw_subscriber::<u64>(&format!("{to}.Length"))?;
    let length = length.with_timeout(PATIENCE);
    length.wait_ready(PATIENCE)?;
    println!("ready");
    let mut kept = VecDeque::new();
    for line in std::io::stdin().lock().lines().map_while(|line| line.ok()) {
        let (what, mib) = line.split_once(' ').expect("a command and a number");
        let mib: usize = mib.parse().expect("a number");
        let loan = length.loan(mib << 20);
        let outcome = match what {
            "keep" => loan.map(|loan| kept.push_back(loan)),
            _ => loan.and_then(Loan::invoke).map(|len| {
                assert_eq!(len, (mib << 20) as u64, "a wrong answer");
            }),
        };
        match outcome {
            Ok(()) => println!("ok"),
            Err(error) => println!("{error}"),
        }
    }
    Ok(())
}
