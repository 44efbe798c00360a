//! Numbers: a type takes those that it can represent exactly, and floats the nearest of a fraction.

use super::*;

#[test]
fn integers_are_taken_in_range() {
    assert_eq!(read::<u8>("255").unwrap(), 255);
    assert_eq!(read::<i64>("-9223372036854775808").unwrap(), i64::MIN);
    assert_eq!(read::<u64>("18446744073709551615").unwrap(), u64::MAX);
    assert_eq!(
        refused::<u8>("256"),
        "TYPE_MISMATCH: result: expected u8, found 256"
    );
    assert_eq!(
        refused::<u8>("-1"),
        "TYPE_MISMATCH: result: expected u8, found -1"
    );
    assert!(read::<i64>("9223372036854775808").is_err());
    assert!(read::<u64>("18446744073709551616").is_err());
}

#[test]
fn whatever_has_the_value_of_an_integer_is_one() {
    for literal in [
        "1",
        "1.0",
        "1.000",
        "10e-1",
        "0.1e1",
        "0.01E+2",
        "100000000000000000000e-20",
    ] {
        assert_eq!(read::<u8>(literal).unwrap(), 1, "{literal}");
        assert_eq!(read::<i128>(literal).unwrap(), 1, "{literal}");
    }
    for zero in ["0", "-0", "-0.0", "0e999999999999999999999", "0.000e-7"] {
        assert_eq!(read::<u8>(zero).unwrap(), 0, "{zero}");
    }
    assert_eq!(read::<i8>("-1.28e2").unwrap(), -128);
    assert_eq!(read::<u16>("100000000000000000000000e-20").unwrap(), 1000);
    for literal in [
        "1.5",
        "1e-1",
        "1e400",
        "-1e400",
        "1e-400",
        "1e99999999999999999999",
        "12345e-3",
    ] {
        assert!(read::<i128>(literal).is_err(), "{literal}");
        assert!(read::<u8>(literal).is_err(), "{literal}");
    }
}

#[test]
fn floats_take_integers_that_they_have() {
    assert_eq!(
        read::<f64>("9007199254740992").unwrap(),
        9_007_199_254_740_992.0
    );
    assert!(read::<f64>("9007199254740993").is_err());
    assert_eq!(read::<f32>("16777216").unwrap(), 16_777_216.0);
    assert!(read::<f32>("16777217").is_err());
    assert_eq!(read::<f32>("-33554432").unwrap(), -33_554_432.0);
    // The largest float is an integer, too.
    assert_eq!(read::<f64>(&format!("{:.0}", f64::MAX)).unwrap(), f64::MAX);
    assert_eq!(read::<f64>("-0").unwrap().to_bits(), (-0.0_f64).to_bits());
}

#[test]
fn floats_take_the_nearest_of_fractions() {
    assert_eq!(read::<f32>("0.1").unwrap(), 0.1);
    assert_eq!(read::<f64>("1e23").unwrap(), 1e23);
    assert_eq!(read::<f64>("5e-324").unwrap(), 5e-324);
    assert_eq!(read::<f32>("3.4028234663852886e38").unwrap(), f32::MAX);
    assert_eq!(
        read::<f64>("-0.0e5").unwrap().to_bits(),
        (-0.0_f64).to_bits()
    );
    for too_large in ["1e300", "3.5e38", "-1e400"] {
        assert!(read::<f32>(too_large).is_err(), "{too_large}");
    }
    for too_small in ["1e-400", "-1e-60"] {
        assert!(read::<f32>(too_small).is_err(), "{too_small}");
    }
    assert!(read::<f64>("1e400").is_err() && read::<f64>("1e-400").is_err());
}

#[test]
fn what_is_not_finite_cannot_be_written() {
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let said = said(try_text(&vec![1.0, number]).unwrap_err());
        assert_eq!(
            said,
            format!("TYPE_MISMATCH: result[1]: expected a finite number, found {number}")
        );
        assert!(try_text(&(number as f32)).is_err());
    }
}

#[test]
fn wide_integers_are_text_beyond_64_bits() {
    assert_eq!(text(&u128::from(u64::MAX)), "18446744073709551615");
    assert_eq!(
        text(&(u128::from(u64::MAX) + 1)),
        "\"18446744073709551616\""
    );
    assert_eq!(text(&i128::from(i64::MIN)), "-9223372036854775808");
    assert_eq!(
        text(&(i128::from(i64::MIN) - 1)),
        "\"-9223372036854775809\""
    );
    for number in [i128::MIN, i128::MAX, 0, -1] {
        assert_eq!(read::<i128>(&text(&number)).unwrap(), number);
    }
    assert_eq!(read::<u128>(&u128::MAX.to_string()).unwrap(), u128::MAX);
    assert_eq!(read::<u128>("1e38").unwrap(), 10_u128.pow(38));
    assert_eq!(read::<u128>("\"7\"").unwrap(), 7);
    for wrong in [
        "\"\"",
        "\"07\"",
        "\"+7\"",
        "\" 7\"",
        "\"1e2\"",
        "\"-7\"",
        "\"340282366920938463463374607431768211456\"",
    ] {
        assert!(read::<u128>(wrong).is_err(), "{wrong}");
    }
    for number in ["\"18446744073709551616\"", "\"7\""] {
        assert!(read::<u64>(number).is_err() && read::<f64>(number).is_err());
    }
}

/// The time to read a literal of a megabyte grew with the square of its length.
#[test]
fn long_literals_are_read_in_time_with_their_length() {
    let zeros = "0".repeat(1 << 20);
    assert_eq!(read::<u8>(&format!("1{zeros}e-{}", 1 << 20)).unwrap(), 1);
    assert_eq!(read::<u8>(&format!("7.{zeros}")).unwrap(), 7);
    assert_eq!(
        read::<u8>(&format!("0.{zeros}7e{}", (1 << 20) + 1)).unwrap(),
        7
    );
    assert_eq!(
        read::<f64>(&format!("0.{zeros}7e{}", (1 << 20) + 1)).unwrap(),
        7.0
    );
    assert_eq!(read::<f32>(&format!("0.5{zeros}")).unwrap(), 0.5);
    assert!(read::<u128>(&format!("1{zeros}")).is_err());
    assert!(read::<f64>(&format!("1{zeros}")).is_err());
    let refused = refused::<u64>(&"9".repeat(1 << 20));
    assert!(refused.len() < 200, "{refused}");
}
