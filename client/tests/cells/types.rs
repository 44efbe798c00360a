//! Which types the values of cells may have.

use callgate_client::{Code, GateType, SortedMap, gate_type};

use crate::scene::{Bus, TAG, code};

#[gate_type]
#[derive(Clone, Debug, PartialEq)]
struct Channel {
    name: [char; 4],
    level: Option<f32>,
    mode: Mode,
}

#[gate_type]
#[derive(Clone, Debug, PartialEq)]
enum Mode {
    Off,
    On(bool, u8),
    Mixed { share: (f64, i16) },
}

#[track_caller]
fn passes<T: GateType + Clone + std::fmt::Debug + PartialEq>(values: &[T]) {
    let bus = Bus::new();
    let plugin = bus.connect("Both");
    let cell = plugin.shares().cell_writer::<T>(TAG).unwrap();
    let mut read = plugin.shares().cell::<T>(TAG).unwrap();
    for value in values {
        cell.set(value).unwrap();
        assert_eq!(read.get().unwrap(), *value);
    }
}

#[test]
fn every_type_of_fixed_size_is_a_value() {
    let channel = Channel {
        name: ['a', 'ß', '→', '🎛'],
        level: Some(0.5),
        mode: Mode::Off,
    };
    let mixed = Channel {
        level: None,
        mode: Mode::Mixed { share: (1.5, -3) },
        ..channel
    };
    let on = Channel {
        mode: Mode::On(true, 255),
        ..channel
    };
    passes(&[channel.clone(), mixed.clone(), on]);
    passes(&[[[1_u8; 4]; 1024], [[255; 4]; 1024]]);
    passes(&[(u128::MAX, false), (1 << 90, true)]);
    passes(&[Some(Ok::<i8, u64>(-1)), Some(Err(9)), None]);
    passes(&[vec_of(&channel), vec_of(&mixed)]);
    passes(&[true, false]);
}

fn vec_of(channel: &Channel) -> [Channel; 3] {
    [channel.clone(), channel.clone(), channel.clone()]
}

#[gate_type]
struct Named {
    name: String,
}

/// A value with a pointer in it would be read without what that points to.
#[test]
fn others_are_refused() {
    fn refused<T: GateType>() {
        let bus = Bus::new();
        let plugin = bus.connect("Both");
        let error = plugin.shares().cell_writer::<T>(TAG).map(drop).unwrap_err();
        assert_eq!(
            (error.code(), error.gate()),
            (Code::InvalidArgument, Some(TAG))
        );
        assert_eq!(code(plugin.shares().cell::<T>(TAG)), Code::InvalidArgument);
        assert_eq!(
            code(plugin.shares().try_cell::<T>(TAG)),
            Code::InvalidArgument
        );
    }
    refused::<String>();
    refused::<Named>();
    refused::<Option<Vec<u8>>>();
    refused::<Box<u8>>();
    refused::<SortedMap<u8, u8>>();
    refused::<callgate_client::Json>();
    refused::<()>();
    refused::<[u64; 513]>();
    let bus = Bus::new();
    let plugin = bus.connect("Both");
    for tag in ["", "a.", &"x".repeat(257), "line\n"] {
        assert_eq!(
            code(plugin.shares().cell_writer::<u8>(tag)),
            Code::InvalidArgument
        );
        assert_eq!(code(plugin.shares().cell::<u8>(tag)), Code::InvalidArgument);
    }
}

/// Types that have the same archives are the same, whatever they are called; others are not, also of the same size.
#[test]
fn another_type_is_refused() {
    let bus = Bus::new();
    let plugin = bus.connect("Both");
    let cell = plugin.shares().cell_writer::<(u32, u32)>(TAG).unwrap();
    cell.set(&(1, 2)).unwrap();
    for outcome in [
        plugin.shares().cell::<u64>(TAG).map(drop),
        plugin.shares().cell::<[u32; 2]>(TAG).map(drop),
        plugin.shares().cell::<(u32, u32, u32)>(TAG).map(drop),
        plugin.shares().try_cell::<u64>(TAG).map(drop),
    ] {
        let error = outcome.unwrap_err();
        assert_eq!(
            (error.code(), error.gate()),
            (Code::ShareTypeMismatch, Some(TAG))
        );
        assert!(error.message().contains("((u32, u32))"), "{error}");
    }
    assert_eq!(
        plugin
            .shares()
            .cell::<(u32, u32)>(TAG)
            .unwrap()
            .get()
            .unwrap(),
        (1, 2)
    );
}

#[gate_type]
#[derive(Clone, Debug, PartialEq)]
struct Meter {
    peak: f32,
    channels: [i16; 5],
    at: u64,
    gain: (u8, f64),
    wide: u128,
}

#[gate_type]
#[derive(Clone, Debug, PartialEq)]
struct Stereo(f32, [f32; 2], Inner);

#[gate_type]
#[derive(Clone, Debug, PartialEq)]
struct Inner {
    a: u8,
    b: u16,
    c: [u8; 3],
}

/// Numbers are read without a check, each from its own place in the archive: one that is taken from elsewhere is another number.
#[test]
fn numbers_keep_their_places() {
    let meter = |n: u8| Meter {
        peak: f32::from(n) + 0.5,
        channels: [1, -2, i16::from(n), i16::MIN, i16::MAX],
        at: u64::MAX - u64::from(n),
        gain: (n, -0.25),
        wide: u128::MAX / 3 - u128::from(n),
    };
    passes(&[meter(1), meter(200)]);
    let stereo = |n: u8| {
        let c = [n, 7, 255 - n];
        let b = 0x1234 + u16::from(n);
        Stereo(f32::from(n), [1.5, -2.5], Inner { a: n, b, c })
    };
    passes(&[stereo(1), stereo(255)]);
    passes(&[(1_u8, 2_u16, 3_u32, 4_u64, -1_i8, 2.5_f32, [9_u16; 7], 8_i64)]);
    passes(&[[u128::MAX - 1; 5]]);
    passes(&[u128::MAX / 7]);
    passes(&[7_u8]);
    passes(&[i16::MIN, -1, 5]);
    passes(&[[1_u8, 2, 3]]);
    passes(&[std::array::from_fn::<u8, 131, _>(|n| n as u8)]);
    passes(&[std::array::from_fn::<f32, 1000, _>(|n| n as f32)]);
    passes(&[((1.0_f32, [2_i32; 3]), [3_u64; 20])]);
}
