//! Enums.

use callgate_client::gate_type;

use super::Change;
use super::form::{json, never};

/// Makes the module of one form of an enum.
macro_rules! shape {
    ($module:ident { $($variants:tt)* }) => {
        mod $module {
            #[callgate_client::gate_type]
            #[derive(Clone, Debug)]
            pub(super) enum Shape { $($variants)* }
        }
    };
}

shape! { two { Dot, Circle(u8) } }
shape! { three { Dot, Circle(u8), Square { side: u16 } } }
shape! { renamed { Dot, Ring(u8) } }
shape! { reordered { Circle(u8), Dot } }
shape! { wider { Dot, Circle(u32) } }
shape! { named { Dot, Circle { radius: u8 } } }
shape! { filled { Dot(u8), Circle(u8) } }
shape! { fillable { Dot { size: Option<u8> }, Circle(u8) } }
shape! { held { Dot(super::Look), Circle(u8) } }
shape! { others { Line, Arc } }
shape! { pair { Dot, Circle(u8, u8) } }

/// A struct with defaults.
#[gate_type]
#[derive(Clone, Debug)]
struct Look {
    #[serde(default)]
    size: u8,
}

/// A struct with an enum.
#[gate_type]
#[derive(Clone, Debug)]
struct Drawing<T> {
    shape: T,
}

fn drawing<T>(shape: T) -> Drawing<T> {
    Drawing { shape }
}

pub(super) fn changes() -> Vec<Change> {
    let mut all = sets_of_variants();
    all.extend(contents());
    all
}

fn sets_of_variants() -> Vec<Change> {
    use {reordered as moved, three, two};
    vec![
        Change::of(
            "VariantAdded",
            "A variant is added",
            json(two::Shape::Circle(7), three::Shape::Circle(7)).and(
                "",
                two::Shape::Dot,
                three::Shape::Dot,
            ),
            json(three::Shape::Circle(7), two::Shape::Circle(7)).but(
                "the new one",
                three::Shape::Square { side: 1 },
                "",
            ),
        ),
        Change::of(
            "VariantRemoved",
            "A variant is removed, in a field",
            json(drawing(three::Shape::Dot), drawing(two::Shape::Dot)).but(
                "the old one",
                drawing(three::Shape::Square { side: 1 }),
                ".shape",
            ),
            json(drawing(two::Shape::Dot), drawing(three::Shape::Dot)),
        ),
        Change::of(
            "VariantRenamed",
            "A variant is renamed",
            json(two::Shape::Dot, renamed::Shape::Dot).but("this one", two::Shape::Circle(7), ""),
            json(renamed::Shape::Dot, two::Shape::Dot).but("this one", renamed::Shape::Ring(7), ""),
        ),
        Change::of(
            "VariantsReordered",
            "Variants are reordered",
            json(two::Shape::Circle(7), moved::Shape::Circle(7)).and(
                "",
                two::Shape::Dot,
                moved::Shape::Dot,
            ),
            json(moved::Shape::Dot, two::Shape::Dot).and(
                "",
                moved::Shape::Circle(7),
                two::Shape::Circle(7),
            ),
        ),
        Change::of(
            "AllVariantsOther",
            "No variant is left",
            never(drawing(two::Shape::Dot), ".shape"),
            never(drawing(others::Shape::Line), ".shape"),
        ),
        Change::of(
            "EnumInOption",
            "A variant is added to an enum in an `Option`",
            json::<Option<two::Shape>, Option<three::Shape>>(
                Some(two::Shape::Dot),
                Some(three::Shape::Dot),
            )
            .and::<Option<three::Shape>>("", None, None),
            json::<Option<three::Shape>, Option<two::Shape>>(
                Some(three::Shape::Dot),
                Some(two::Shape::Dot),
            )
            .and::<Option<two::Shape>>("", None, None)
            .but("the new one", Some(three::Shape::Square { side: 1 }), ""),
        ),
    ]
}

fn contents() -> Vec<Change> {
    use two::Shape::{Circle, Dot};
    vec![
        Change::of(
            "PayloadWidened",
            "What a variant holds is widened",
            json(Circle(7), wider::Shape::Circle(7)).and("", Dot, wider::Shape::Dot),
            json(wider::Shape::Circle(7), Circle(7)).but(
                "300",
                wider::Shape::Circle(300),
                ".Circle",
            ),
        ),
        Change::of(
            "PayloadNamed",
            "A tuple variant becomes one with names",
            json(Dot, named::Shape::Dot).but("this one", Circle(7), ".Circle"),
            json(named::Shape::Dot, Dot).but(
                "this one",
                named::Shape::Circle { radius: 7 },
                ".Circle",
            ),
        ),
        Change::of(
            "PayloadAdded",
            "A unit variant gets a field",
            json(Circle(7), filled::Shape::Circle(7)).but_null("this one", Dot, ".Dot"),
            json(filled::Shape::Circle(7), Circle(7)).but(
                "this one",
                filled::Shape::Dot(7),
                ".Dot",
            ),
        ),
        Change::of(
            "OptionInVariant",
            "A unit variant gets an `Option` with a name",
            json(Dot, fillable::Shape::Dot { size: None }),
            json(fillable::Shape::Dot { size: None }, Dot).and(
                "",
                fillable::Shape::Dot { size: Some(7) },
                Dot,
            ),
        ),
        Change::of(
            "DefaultsInVariant",
            "A unit variant gets a struct of which all fields have defaults",
            json(Dot, held::Shape::Dot(Look { size: 0 })),
            json(held::Shape::Dot(Look { size: 7 }), Dot),
        ),
        Change::of(
            "PayloadDoubled",
            "A tuple variant gets a second field",
            json(Dot, pair::Shape::Dot).but("this one", Circle(7), ".Circle"),
            json(pair::Shape::Dot, Dot).but("this one", pair::Shape::Circle(7, 8), ".Circle"),
        ),
    ]
}
