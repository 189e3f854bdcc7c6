//! What a parameter is: name, text form, allowed values, default, its origin, and cost.
//!
//! The macro `parameters!` turns one list of definitions into a plain struct, its `Default`, its
//! setters and a table of `Parameter`s; `group!` does so for parameters of a node that belong together, as a
//! struct of their own in a field of `Config`. Files, environment, flags, checks and `docs/tuning.md` are
//! all driven by those tables. Nothing here knows a particular parameter.

use super::allowed::{Allowed, Unit};

/// One parameter of `S`, which is [`Config`](super::Config) or
/// [`ChannelConfig`](super::ChannelConfig).
#[derive(Debug)]
pub struct Parameter<S: 'static> {
    /// Name in files; `_` becomes `-` in flags, and the environment has it in capitals.
    pub name: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// Unit of the value.
    pub unit: Unit,
    /// Which values are accepted.
    pub allowed: Allowed,
    /// Where the default comes from.
    pub origin: &'static str,
    /// What a higher or a lower value costs.
    pub cost: &'static str,
    pub(super) expected: fn() -> String,
    pub(super) read: fn(&S) -> String,
    pub(super) write: fn(&mut S, &str) -> Result<(), String>,
}

// Not derived: that would ask for settings that are `Copy`.
impl<S: 'static> Clone for Parameter<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: 'static> Copy for Parameter<S> {}

/// Parameters of a node that belong together: a table in a file, and one prefix of their names elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Name of the table; with `_` behind it, what their names begin with.
    pub name: &'static str,
    /// What they are for.
    pub doc: &'static str,
    /// Their definitions, which are part of [`NODE_PARAMETERS`](super::NODE_PARAMETERS) too.
    pub parameters: &'static [Parameter<super::Config>],
}

/// Several tables as one. `N` is how many parameters they have together.
pub(super) const fn joined<S: 'static, const N: usize>(
    tables: &[&[Parameter<S>]],
) -> [Parameter<S>; N] {
    let mut all = [tables[0][0]; N];
    let (mut table, mut count) = (0, 0);
    while table < tables.len() {
        let mut index = 0;
        while index < tables[table].len() {
            all[count] = tables[table][index];
            count += 1;
            index += 1;
        }
        table += 1;
    }
    assert!(count == N, "every place is filled");
    all
}

impl<S: Default> Parameter<S> {
    /// The value in text form; [`set`](Self::set) accepts it.
    #[must_use]
    pub fn get(&self, settings: &S) -> String {
        (self.read)(settings)
    }

    /// Sets the value from text.
    ///
    /// # Errors
    /// A sentence that says what would be right; the settings are then unchanged.
    pub fn set(&self, settings: &mut S, text: &str) -> Result<(), String> {
        (self.write)(settings, text)
    }

    /// What [`set`](Self::set) accepts, as the end of a sentence that starts with "expected".
    #[must_use]
    pub fn expected(&self) -> String {
        (self.expected)()
    }

    /// The default in text form.
    #[must_use]
    pub fn default_text(&self) -> String {
        self.get(&S::default())
    }
}

/// Defines a struct of settings and its `Default`.
macro_rules! settings {
    (
        $(#[doc = $about:literal])+
        pub struct $name:ident;
        $(
            $(#[doc = $doc:literal])+
            $field:ident: $kind:ty = $default:expr;
                origin $origin:literal;
                cost $cost:literal;
        )+
        beside {
            $( $(#[doc = $other_doc:literal])+ $other:ident: $other_kind:ty; )*
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $( $(#[doc = $other_doc])+ pub $other: $other_kind, )*
            $(
                $(#[doc = $doc])+
                #[doc = ""]
                #[doc = concat!("Default: `", stringify!($default), "` (", $origin, ").")]
                #[doc = concat!("Cost: ", $cost, ".")]
                pub $field: $kind,
            )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $( $other: Default::default(), )*
                    $( $field: $default, )+
                }
            }
        }
    };
}

/// The definition of one parameter of `$owner`, found there under `$path`.
macro_rules! definition {
    (
        $owner:ident $(. $path:ident)+, $name:expr;
        $(#[doc = $doc:literal])+
        $kind:ty; $unit:expr, $allowed:expr; $origin:literal; $cost:literal
    ) => {
        Parameter {
            name: $name,
            doc: concat!($($doc),+),
            unit: $unit,
            allowed: $allowed,
            origin: $origin,
            cost: $cost,
            expected: || <$kind as Setting>::expected($unit, &$allowed),
            read: |settings: &$owner| Setting::print(&settings$(.$path)+, $unit),
            write: |settings: &mut $owner, text| {
                settings$(.$path)+ = Setting::read(text, $unit, &$allowed)?;
                Ok(())
            },
        }
    };
}

/// Defines a settings struct and its parameter table; see the head of this file.
macro_rules! parameters {
    (
        $(#[doc = $about:literal])+
        pub struct $name:ident;
        $visible:vis static $table:ident;
        setters on $builder:ident;
        $(
            $(#[doc = $doc:literal])+
            $field:ident: $kind:ty $(as $argument:ty)? = $default:expr;
                $unit:expr, $allowed:expr;
                origin $origin:literal;
                cost $cost:literal;
        )+
        beside {
            $( $(#[doc = $other_doc:literal])+ $other:ident: $other_kind:ty; )*
        }
    ) => {
        $crate::config::parameter::settings! {
            $(#[doc = $about])+
            pub struct $name;
            $( $(#[doc = $doc])+ $field: $kind = $default; origin $origin; cost $cost; )+
            beside { $( $(#[doc = $other_doc])+ $other: $other_kind; )* }
        }

        impl $builder {
            $(
                $(#[doc = $doc])+
                #[must_use]
                pub fn $field(
                    mut self,
                    value: parameters!(@argument $kind $(, $argument)?),
                ) -> Self {
                    self.settings().$field = value.into();
                    self
                }
            )+
        }

        #[doc = concat!("The definitions of all parameters of [`", stringify!($name), "`].")]
        $visible static $table: &[Parameter<$name>] = &[
            $(
                $crate::config::parameter::definition! {
                    $name.$field, stringify!($field);
                    $(#[doc = $doc])+
                    $kind; $unit, $allowed; $origin; $cost
                },
            )+
        ];
    };
    (@argument $kind:ty) => { $kind };
    (@argument $kind:ty, $argument:ty) => { $argument };
}

/// Defines a group of a node's parameters: its struct, which `Config` has in the field of the group's name, and its
/// table.
macro_rules! group {
    (
        $(#[doc = $about:literal])+
        pub struct $name:ident in $group:ident as $table:ident;
        $(
            $(#[doc = $doc:literal])+
            $field:ident: $kind:ty = $default:expr;
                $unit:expr, $allowed:expr;
                origin $origin:literal;
                cost $cost:literal;
        )+
    ) => {
        $crate::config::parameter::settings! {
            $(#[doc = $about])+
            pub struct $name;
            $( $(#[doc = $doc])+ $field: $kind = $default; origin $origin; cost $cost; )+
            beside {}
        }

        pub(super) static $table: Group = Group {
            name: stringify!($group),
            doc: concat!($($about),+),
            parameters: &[
                $(
                    $crate::config::parameter::definition! {
                        Config.$group.$field, concat!(stringify!($group), "_", stringify!($field));
                        $(#[doc = $doc])+
                        $kind; $unit, $allowed; $origin; $cost
                    },
                )+
            ],
        };
    };
}

pub(super) use {definition, group, parameters, settings};
