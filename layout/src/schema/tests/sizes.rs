//! How large the types may be that are compared.

use super::pairs::said;
use super::{Body, Primitive, Schema, TypeDef, list, record};

const U8: Schema = Schema::Primitive(Primitive::U8);
const F64: Schema = Schema::Primitive(Primitive::F64);

/// A comparison of a hostile schema is given up. It would take as many steps as there are pairs of types, or never
/// end where types consist of nothing but wrappers.
#[test]
fn a_comparison_ends() {
    let wide = |name: &str, count: u32| {
        let types = (0..count).map(|n| {
            let fields = (0..30_u32).map(|field| {
                let number = (n * 31 + field * 17 + 1) % count;
                (format!("f{field}"), Schema::Named(number))
            });
            let fields: Vec<(String, Schema)> = fields.collect();
            let fields: Vec<(&str, Schema)> = fields
                .iter()
                .map(|(name, schema)| (name.as_str(), schema.clone()))
                .collect();
            let mut def = record(name, &fields);
            if n == 0
                && let Body::Struct(fields) = &mut def.body
            {
                fields[0].schema = if name == "A" { U8 } else { F64 };
            }
            def
        });
        types.collect::<Vec<TypeDef>>()
    };
    let text = said(
        Schema::Named(0),
        &wide("A", 1009),
        Schema::Named(0),
        &wide("B", 997),
    );
    assert!(text.contains("differ little enough"), "{text}");
    let endless = [record("Endless", &[("0", Schema::Named(0))])];
    let text = said(Schema::Named(0), &endless, U8, &[]);
    assert!(text.contains("differ little enough"), "{text}");
}

/// The types of honest programs stay far below the limit.
#[test]
fn large_types_that_differ_a_little_are_compared() {
    /// So many structs. Each has so many lists of a type, and names the next struct.
    fn many(structs: u32, fields: u32, schema: &Schema) -> Vec<TypeDef> {
        let one = |me: u32| {
            let names: Vec<String> = (0..fields).map(|field| format!("f{field}")).collect();
            let mut all: Vec<(&str, Schema)> = names
                .iter()
                .map(|name| (name.as_str(), list(schema.clone())))
                .collect();
            if me + 1 < structs {
                all.push(("next", Schema::Named(me + 1)));
            }
            record("Struct", &all)
        };
        (0..structs).map(one).collect()
    }
    // One struct of five thousand fields, and two hundred structs of fifty fields.
    for (structs, fields) in [(1, 5_000), (200, 50)] {
        let (from, to) = (many(structs, fields, &U8), many(structs, fields, &F64));
        let text = said(Schema::Named(0), &from, Schema::Named(0), &to);
        assert_eq!(text, "arguments[0].f0[]: expected f64, found u8");
    }
}

/// A chain of ten thousand types is compared without recursion, which would overflow the stack.
#[test]
fn a_long_chain_of_types_is_compared() {
    let chain = |last: Schema| {
        let mut types: Vec<TypeDef> = (1..10_000)
            .map(|next| record("", &[("n", Schema::Named(next))]))
            .collect();
        types.push(record("", &[("n", last)]));
        types
    };
    let text = said(
        Schema::Named(0),
        &chain(U8),
        Schema::Named(0),
        &chain(Schema::Unit),
    );
    assert!(text.starts_with("never: arguments[0].n.n"), "{text}");
    assert!(text.contains('…') && text.len() < 200, "{text}");
    assert!(text.ends_with("expected (), found u8"), "{text}");
}
