//! What a parameter is: name, text form, allowed values, default, its origin, and cost.
//!
//! The macro `parameters!` turns one list of definitions into a plain struct, its `Default`, its
//! setters and a table of `Parameter`s. Files, environment, flags, checks and `docs/tuning.md` are
//! all driven by that table. Nothing here knows a particular parameter.

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

/// Defines a settings struct and its parameter table; see the head of this file.
macro_rules! parameters {
    (
        $(#[doc = $about:literal])+
        pub struct $name:ident;
        pub static $table:ident;
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
        pub static $table: &[Parameter<$name>] = &[
            $(
                Parameter {
                    name: stringify!($field),
                    doc: concat!($($doc),+),
                    unit: $unit,
                    allowed: $allowed,
                    origin: $origin,
                    cost: $cost,
                    expected: || <$kind as Setting>::expected($unit, &$allowed),
                    read: |settings| Setting::print(&settings.$field, $unit),
                    write: |settings, text| {
                        settings.$field = Setting::read(text, $unit, &$allowed)?;
                        Ok(())
                    },
                },
            )+
        ];
    };
    (@argument $kind:ty) => { $kind };
    (@argument $kind:ty, $argument:ty) => { $argument };
}

pub(super) use parameters;
