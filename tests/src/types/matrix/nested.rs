//! Changes inside lists, inside types that contain themselves or each other, and inside type parameters.

use callgate_client::gate_type;

use super::Change;
use super::form::{json, never};

/// An element, in four forms.
#[gate_type]
#[derive(Clone, Debug)]
struct Narrow {
    n: u8,
}

#[gate_type]
#[derive(Clone, Debug)]
struct Wide {
    n: u32,
}

#[gate_type]
#[derive(Clone, Debug)]
struct WithDefault {
    n: u8,
    #[serde(default)]
    gain: u8,
}

#[gate_type]
#[derive(Clone, Debug)]
struct WithGain {
    n: u8,
    gain: u8,
}

#[gate_type]
#[derive(Clone, Debug)]
struct List<T> {
    items: Vec<T>,
}

/// Makes types that contain themselves or each other. Types with a parameter cannot do that.
macro_rules! recursive {
    ($module:ident $item:ident) => {
        mod $module {
            use callgate_client::gate_type;

            use super::$item;

            #[gate_type]
            #[derive(Clone, Debug)]
            pub(super) struct Tree {
                pub(super) item: $item,
                pub(super) children: Vec<Tree>,
            }

            #[gate_type]
            #[derive(Clone, Debug)]
            pub(super) struct Folder {
                pub(super) entries: Vec<Entry>,
            }

            #[gate_type]
            #[derive(Clone, Debug)]
            pub(super) enum Entry {
                File($item),
                Folder(Box<Folder>),
            }

            impl From<$item> for Tree {
                fn from(item: $item) -> Tree {
                    let leaf = Tree {
                        item: item.clone(),
                        children: vec![],
                    };
                    Tree {
                        item,
                        children: vec![leaf],
                    }
                }
            }

            impl From<$item> for Folder {
                fn from(item: $item) -> Folder {
                    let inner = Folder {
                        entries: vec![Entry::File(item)],
                    };
                    Folder {
                        entries: vec![Entry::Folder(Box::new(inner))],
                    }
                }
            }
        }
    };
}

recursive! { of_narrow Narrow }
recursive! { of_wide Wide }
recursive! { with_default WithDefault }

fn list<T>(item: T) -> List<T> {
    List { items: vec![item] }
}

#[gate_type]
#[derive(Clone, Debug)]
struct Deep {
    inner: Option<Box<Deep>>,
}

#[gate_type]
#[derive(Clone, Debug)]
struct DeepWithDefault {
    inner: Option<Box<DeepWithDefault>>,
    #[serde(default)]
    n: u8,
}

fn deep(levels: usize) -> Deep {
    let start = Deep { inner: None };
    (1..levels).fold(start, |inner, _| Deep {
        inner: Some(Box::new(inner)),
    })
}

fn deep_with_default(levels: usize) -> DeepWithDefault {
    let start = DeepWithDefault { inner: None, n: 0 };
    (1..levels).fold(start, |inner, _| DeepWithDefault {
        inner: Some(Box::new(inner)),
        n: 0,
    })
}

pub(super) fn changes() -> Vec<Change> {
    let mut all = in_lists();
    all.extend(recursive());
    all
}

fn narrow() -> Narrow {
    Narrow { n: 7 }
}

fn wide(n: u32) -> Wide {
    Wide { n }
}

fn with_gain() -> WithGain {
    WithGain { n: 7, gain: 1 }
}

fn in_lists() -> Vec<Change> {
    let default = || WithDefault { n: 7, gain: 0 };
    vec![
        Change::of(
            "NestedDefault",
            "A field with a default is added to the elements of a `Vec`",
            json(list(narrow()), list(default())).noting("it is 0"),
            json(list(default()), list(narrow())).noting("without it"),
        ),
        Change::of(
            "NestedField",
            "A field is added to the elements of a `Vec`",
            never(list(narrow()), ".items[].gain"),
            json(list(with_gain()), list(narrow())).noting("without it"),
        ),
        Change::of(
            "Generic",
            "The parameter of a generic type is widened",
            json(list(7_u8), list(7_u32)),
            json(list(7_u32), list(7_u8)).but("300", list(300), ".items[0]"),
        ),
    ]
}

fn recursive() -> Vec<Change> {
    let (tree, folder) = (of_narrow::Tree::from, of_narrow::Folder::from);
    let (wide_tree, wide_folder) = (of_wide::Tree::from, of_wide::Folder::from);
    let with_default = || with_default::Folder::from(WithDefault { n: 7, gain: 0 });
    // The path through 64 levels, without the first.
    let too_deep = ".inner".repeat(64).leak();
    vec![
        Change::of(
            "Recursive",
            "A number in a type that contains itself is widened",
            json(tree(narrow()), wide_tree(wide(7))),
            json(wide_tree(wide(7)), tree(narrow())).but("300", wide_tree(wide(300)), ".item.n"),
        ),
        Change::of(
            "Mutual",
            "The same in types that contain each other",
            json(folder(narrow()), wide_folder(wide(7))),
            json(wide_folder(wide(7)), folder(narrow())).but(
                "300",
                wide_folder(wide(300)),
                ".entries[0].Folder.entries[0].File.n",
            ),
        ),
        Change::of(
            "MutualDefault",
            "A field with a default is added to one of them",
            json(folder(narrow()), with_default()).noting("it is 0"),
            json(with_default(), folder(narrow())).noting("without it"),
        ),
        Change::of(
            "Deep",
            "A field with a default is added to one, where values are deep",
            json(deep(60), deep_with_default(60)).but_unfit(
                "more than 64 levels",
                deep(66),
                too_deep,
            ),
            json(deep_with_default(60), deep(60)).but_unfit(
                "more than 64 levels",
                deep_with_default(66),
                too_deep,
            ),
        ),
    ]
}
