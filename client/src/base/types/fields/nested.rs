//! Types that would be gate types if their contents were.

use core::marker::PhantomData;

use callgate_layout::{Describer, Schema};
use rkyv::boxed::{ArchivedBox, BoxResolver};
use rkyv::munge::munge;
use rkyv::rancor::Fallible;
use rkyv::ser::Writer;
use rkyv::tuple::{
    ArchivedTuple1, ArchivedTuple2, ArchivedTuple3, ArchivedTuple4, ArchivedTuple5, ArchivedTuple6,
    ArchivedTuple7, ArchivedTuple8,
};
use rkyv::with::{ArchiveWith, DeserializeWith, Map, SerializeWith, With};
use rkyv::{Archive, Place, SerializeUnsized};

use super::FieldAs;
use crate::base::types::builtin::assert_sized;

fn boxed<F, W: FieldAs<F>>(describer: &mut Describer) -> Box<Schema> {
    Box::new(W::schema(describer))
}

impl<F, W: FieldAs<F>> FieldAs<Option<F>> for Map<W> {
    fn schema(describer: &mut Describer) -> Schema {
        Schema::Option(boxed::<F, W>(describer))
    }
}

impl<F, W: FieldAs<F>> FieldAs<Vec<F>> for Map<W> {
    fn schema(describer: &mut Describer) -> Schema {
        const { assert_sized::<With<F, W>>() };
        Schema::Vec(boxed::<F, W>(describer))
    }
}

impl<F, W: FieldAs<F>, const N: usize> FieldAs<[F; N]> for Map<W> {
    fn schema(describer: &mut Describer) -> Schema {
        const { assert_sized::<With<F, W>>() };
        Schema::Array {
            element: boxed::<F, W>(describer),
            length: N as u64,
        }
    }
}

/// A `Box` of what `W` archives.
#[derive(Debug)]
pub struct Boxed<W>(PhantomData<W>);

impl<F, W: ArchiveWith<F>> ArchiveWith<Box<F>> for Boxed<W> {
    type Archived = ArchivedBox<W::Archived>;
    type Resolver = BoxResolver;

    fn resolve_with(field: &Box<F>, resolver: BoxResolver, out: Place<Self::Archived>) {
        ArchivedBox::resolve_from_ref(With::<F, W>::cast(field), resolver, out);
    }
}

impl<F, W, S> SerializeWith<Box<F>, S> for Boxed<W>
where
    W: SerializeWith<F, S>,
    S: Fallible + Writer + ?Sized,
    With<F, W>: SerializeUnsized<S> + Archive<Archived = W::Archived>,
{
    fn serialize_with(field: &Box<F>, serializer: &mut S) -> Result<BoxResolver, S::Error> {
        ArchivedBox::serialize_from_ref(With::<F, W>::cast(field), serializer)
    }
}

impl<F, W, D> DeserializeWith<ArchivedBox<W::Archived>, Box<F>, D> for Boxed<W>
where
    W: DeserializeWith<<W as ArchiveWith<F>>::Archived, F, D> + ArchiveWith<F>,
    D: Fallible + ?Sized,
{
    fn deserialize_with(
        archived: &ArchivedBox<W::Archived>,
        deserializer: &mut D,
    ) -> Result<Box<F>, D::Error> {
        W::deserialize_with(archived.get(), deserializer).map(Box::new)
    }
}

impl<F, W: FieldAs<F>> FieldAs<Box<F>> for Boxed<W> {
    fn schema(describer: &mut Describer) -> Schema {
        Schema::Box(boxed::<F, W>(describer))
    }
}

/// A tuple; `W` is a tuple of the types that archive each element.
#[derive(Debug)]
pub struct Each<W>(PhantomData<W>);

macro_rules! tuples {
    ($($archived:ident($($F:ident $W:ident $index:tt $name:ident),+);)*) => {$(
        impl<$($F, $W: ArchiveWith<$F>),+> ArchiveWith<($($F,)+)> for Each<($($W,)+)> {
            type Archived = $archived<$($W::Archived),+>;
            type Resolver = ($($W::Resolver,)+);

            fn resolve_with(
                field: &($($F,)+),
                resolver: Self::Resolver,
                out: Place<Self::Archived>,
            ) {
                munge!(let $archived($($name),+) = out);
                $($W::resolve_with(&field.$index, resolver.$index, $name);)+
            }
        }

        impl<$($F, $W: SerializeWith<$F, S>,)+ S: Fallible + ?Sized>
            SerializeWith<($($F,)+), S> for Each<($($W,)+)>
        {
            fn serialize_with(
                field: &($($F,)+),
                serializer: &mut S,
            ) -> Result<Self::Resolver, S::Error> {
                Ok(($($W::serialize_with(&field.$index, serializer)?,)+))
            }
        }

        impl<$($F, $W,)+ D: Fallible + ?Sized>
            DeserializeWith<$archived<$($W::Archived),+>, ($($F,)+), D> for Each<($($W,)+)>
        where
            $($W: ArchiveWith<$F> + DeserializeWith<<$W as ArchiveWith<$F>>::Archived, $F, D>,)+
        {
            fn deserialize_with(
                archived: &$archived<$($W::Archived),+>,
                deserializer: &mut D,
            ) -> Result<($($F,)+), D::Error> {
                Ok(($($W::deserialize_with(&archived.$index, deserializer)?,)+))
            }
        }

        impl<$($F, $W: FieldAs<$F>),+> FieldAs<($($F,)+)> for Each<($($W,)+)> {
            fn schema(describer: &mut Describer) -> Schema {
                Schema::Tuple(vec![$($W::schema(describer)),+])
            }
        }
    )*};
}

tuples! {
    ArchivedTuple1(A WA 0 a);
    ArchivedTuple2(A WA 0 a, B WB 1 b);
    ArchivedTuple3(A WA 0 a, B WB 1 b, C WC 2 c);
    ArchivedTuple4(A WA 0 a, B WB 1 b, C WC 2 c, E WE 3 e);
    ArchivedTuple5(A WA 0 a, B WB 1 b, C WC 2 c, E WE 3 e, F WF 4 f);
    ArchivedTuple6(A WA 0 a, B WB 1 b, C WC 2 c, E WE 3 e, F WF 4 f, G WG 5 g);
    ArchivedTuple7(A WA 0 a, B WB 1 b, C WC 2 c, E WE 3 e, F WF 4 f, G WG 5 g, H WH 6 h);
    ArchivedTuple8(
        A WA 0 a, B WB 1 b, C WC 2 c, E WE 3 e, F WF 4 f, G WG 5 g, H WH 6 h, I WI 7 i
    );
}
