//! Lists of numbers: writing and reading many numbers at a time gives the same as one by one.

use core::fmt::Debug;

use super::*;

/// Numbers close to each power of ten and of two.
fn numbers() -> Vec<u64> {
    let powers = (0..20).map(|exponent| 10_u64.pow(exponent));
    let powers = powers.chain((0..64).map(|exponent| 1 << exponent));
    let around = |power: u64| [power - 1, power, power + 1, power / 7 * 3];
    powers.flat_map(around).chain([u64::MAX]).collect()
}

/// Checks that a list has the text of its elements, and is read back from it, with white space or without.
fn travels<T: JsonType + PartialEq + Debug>(list: &[T])
where
    Vec<T>: JsonType,
{
    let list: Vec<T> = list
        .iter()
        .map(|number| read(&text(number)).unwrap())
        .collect();
    let texts: Vec<String> = list.iter().map(text).collect();
    for (comma, end) in [(",", "]"), (" ,", "]"), (",\n", " ]"), ("\t, ", "\n]")] {
        let whole = format!("[{}{end}", texts.join(comma));
        assert_eq!(read::<Vec<T>>(&whole).unwrap(), list);
        if comma == "," {
            assert_eq!(text(&list), whole);
        }
    }
}

#[test]
fn lists_of_truth_values_are_those_of_their_elements() {
    for len in 0..200 {
        let list: Vec<bool> = (0..len).map(|index| index % 3 != len % 2).collect();
        travels(&list);
    }
    travels(&[true; 100]);
    travels(&[false; 100]);
}

#[test]
fn lists_of_numbers_are_those_of_their_elements() {
    let numbers = numbers();
    let rotated = (0..numbers.len()).step_by(37).map(|start| {
        let mut numbers = numbers.clone();
        numbers.rotate_left(start);
        numbers
    });
    for numbers in rotated {
        travels(&numbers);
        travels(
            &numbers
                .iter()
                .map(|number| *number as u8)
                .collect::<Vec<_>>(),
        );
        travels(
            &numbers
                .iter()
                .map(|number| *number as u32)
                .collect::<Vec<_>>(),
        );
        travels(
            &numbers
                .iter()
                .map(|number| *number as i16)
                .collect::<Vec<_>>(),
        );
        travels(
            &numbers
                .iter()
                .map(|number| *number as i64)
                .collect::<Vec<_>>(),
        );
        let negative = numbers
            .iter()
            .map(|number| number.cast_signed().wrapping_neg());
        travels(&negative.collect::<Vec<_>>());
    }
    for digits in [text(&numbers), text(&vec![i64::MIN; 3])] {
        let theirs: serde_json::Value = serde_json::from_str(&digits).unwrap();
        assert_eq!(theirs.to_string(), digits);
    }
}

/// The error about an element does not depend on how many ordinary elements come before it.
#[test]
fn faults_in_lists_of_numbers_have_their_place() {
    let first = "7,".repeat(100);
    for (last, said) in [
        ("256", "TYPE_MISMATCH: result[100]: expected u8, found 256"),
        ("-1", "TYPE_MISMATCH: result[100]: expected u8, found -1"),
        ("1.5", "TYPE_MISMATCH: result[100]: expected u8, found 1.5"),
        ("null", "VALUE_NULL: result[100]: expected u8, found null"),
        (
            "\"7\"",
            "TYPE_MISMATCH: result[100]: expected u8, found a text",
        ),
        (
            "",
            "PROTOCOL: result: no JSON: expected a value at byte 201",
        ),
        (
            "07",
            "PROTOCOL: result: no JSON: expected `,` or `]` at byte 202",
        ),
        (
            "7 7",
            "PROTOCOL: result: no JSON: expected `,` or `]` at byte 203",
        ),
        (
            "7.",
            "PROTOCOL: result: no JSON: expected a digit at byte 203",
        ),
        (
            "-",
            "PROTOCOL: result: no JSON: expected a value at byte 202",
        ),
        (
            "7}",
            "PROTOCOL: result: no JSON: expected `,` or `]` at byte 202",
        ),
    ] {
        assert_eq!(refused::<Vec<u8>>(&format!("[{first}{last}]")), said);
    }
    let others = format!("[{first}1.0,100e-1,7]");
    assert_eq!(read::<Vec<u8>>(&others).unwrap()[99..], [7, 1, 10, 7]);
}

/// Numbers that are read many at a time count towards the memory limit as all others do.
#[test]
fn lists_of_numbers_take_the_memory_that_they_may() {
    let text = format!("[{}7]", "7,".repeat(999));
    for (memory, is_enough) in [(8000, true), (7999, false), (4000, false), (0, false)] {
        let mut reader = Reader::of_text(&text).with_memory(memory);
        let list = Vec::<u64>::read(&mut reader);
        assert_eq!(list.is_ok(), is_enough, "{memory}");
    }
}

/// A list of exactly the allowed length is written.
#[test]
fn lists_of_numbers_are_as_long_as_they_may_be() {
    let list = vec![1_234_567_890_123_u64; 100];
    let len = text(&list).len();
    let mut buffer = Buffer::new();
    write_result(&list, &mut buffer, None, len).unwrap();
    assert_eq!(buffer.len(), len);
    let error = write_result(&list, &mut buffer, None, len - 1).unwrap_err();
    assert_eq!(error.code(), Code::ResponseTooLarge);
}

/// The nearest float is found, however many digits decide it. The literals are the middle between two floats of 32
/// bits, and numbers a little beside it.
#[test]
fn floats_are_the_nearest() {
    let mut literals = Vec::new();
    for numerator in numbers().into_iter().filter(|number| *number > 0) {
        let float = numerator as f32 / 37.0;
        let next = f64::from(float.next_up());
        let middle = f64::from(float).midpoint(next);
        for number in [
            f64::from(float),
            middle,
            middle.next_up(),
            middle.next_down(),
        ] {
            for places in [1, 2, 7, 12, 17] {
                literals.push(format!("{number:.places$}"));
                literals.push(format!("-{number:.places$}"));
            }
            literals.push(format!("{:?}", number / 1e9));
        }
        literals.push(format!("0.{numerator}"));
        literals.push(format!("{}.{numerator:019}", numerator % 1000));
    }
    // Between 2^24 and 2^25, every second integer is the middle between two floats.
    literals.extend((0..64).map(|more| format!("{}.000000000001", (1 << 24) + more)));
    literals.extend((0..64).map(|more| format!("{}.0", (1 << 24) + more)));
    let list = format!("[{}]", literals.join(","));
    let wide: Vec<f64> = read(&list).unwrap();
    let narrow: Vec<f32> = read(&list).unwrap();
    for (index, literal) in literals.iter().enumerate() {
        let expected: f64 = literal.parse().unwrap();
        assert_eq!(wide[index].to_bits(), expected.to_bits(), "{literal}");
        let expected: f32 = literal.parse().unwrap();
        assert_eq!(narrow[index].to_bits(), expected.to_bits(), "{literal}");
    }
}

/// In a list, too, an integer is only read as a float that equals it.
#[test]
fn floats_in_lists_take_integers_that_they_have() {
    let numbers = "[1.5,16777216,-0,9007199254740992]";
    assert_eq!(read::<Vec<f64>>(numbers).unwrap()[1..2], [16_777_216.0]);
    assert!(read::<Vec<f32>>(numbers).unwrap()[2].is_sign_negative());
    for (text, index) in [("[1.5,16777217]", 1), ("[1.5,2.5,-16777219]", 2)] {
        let said = refused::<Vec<f32>>(text);
        assert!(
            said.contains(&format!("result[{index}]: expected f32")),
            "{said}"
        );
        assert!(read::<Vec<f64>>(text).is_ok());
    }
    assert!(read::<Vec<f64>>("[1.5,9007199254740993]").is_err());
}

/// Texts with characters to escape are the same as those of serde_json.
#[test]
fn every_character_is_escaped_as_by_serde_json() {
    for c in (0..0x300).filter_map(char::from_u32) {
        for value in [
            c.to_string(),
            format!("before{c}"),
            format!("{c}{c} a longer text{c}\u{1f600}"),
        ] {
            assert_eq!(text(&value), serde_json::to_string(&value).unwrap());
        }
    }
}
