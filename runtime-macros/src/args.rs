//! Reads the options `key = value` of the attributes, and the sizes that `go!` shares with them.
//!
//! A wrong option must not hide the next one, nor the errors in the body: `EntryArgs::read` goes on
//! after a bad value and gives back what it understood together with all errors. It stops only
//! where the tokens themselves no longer tell where the next option begins.
//!
//! What this file must never do: accept a value whose meaning the runtime would refuse whatever the
//! machine. It also never asks for more than literals: the runtime gets constants and nothing that
//! could run in the caller before the runtime is there.
#![forbid(unsafe_code)]

use proc_macro2::TokenStream;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Error, Expr, Ident, Lit, LitInt, LitStr, Path, Result, Token};

/// Which of the two attributes is being expanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// `#[sylvan::main]`
    Main,
    /// `#[sylvan::test]`
    Test,
}

impl Entry {
    /// The attribute as error messages spell it.
    pub(super) fn attribute(self) -> &'static str {
        match self {
            Entry::Main => "#[sylvan::main]",
            Entry::Test => "#[sylvan::test]",
        }
    }

    fn accepts(self) -> String {
        let (mapping, seeds) = match self {
            Entry::Main => (r#"`mapping = "n:1"`"#, ""),
            Entry::Test => (
                r#"`mapping = "n:1"` or `mapping = ["1:1", "n:1", "m:n"]`"#,
                r#"`seeds = 200`, `strategy = "pct"`, `virtual_time`, "#,
            ),
        };
        format!(
            "`{}` accepts {mapping}, `workers = 4`, `stack_size = 1048576` or `\"1M\"`, {seeds}and \
             `crate = path`, each at most once",
            self.attribute()
        )
    }
}

/// What an attribute was told; `None` and an empty list leave the choice to the environment.
#[derive(Default)]
pub(super) struct EntryArgs {
    pub(super) krate: Option<Path>,
    /// The spellings in `MAPPINGS`.
    pub(super) mappings: Vec<&'static str>,
    pub(super) workers: Option<u64>,
    pub(super) stack_size_bytes: Option<u64>,
    /// Tests only.
    pub(super) seeds: Option<u64>,
    pub(super) strategy: Option<LitStr>,
    pub(super) virtual_time: Option<bool>,
}

impl EntryArgs {
    /// Reads what stands in the attribute's parentheses.
    pub(super) fn read(entry: Entry, tokens: TokenStream) -> (EntryArgs, Errors) {
        let mut args = EntryArgs::default();
        let mut errors = Errors::default();
        let walked =
            (|input: ParseStream| args.read_options(entry, input, &mut errors)).parse2(tokens);
        errors.note(walked);
        errors.note(args.refuse_strategy_without_seeds());
        (args, errors)
    }

    /// Whether the test runs under seeds; a virtual clock alone asks for one.
    pub(super) fn seed_count(&self) -> Option<u64> {
        self.seeds.or(self.virtual_time.filter(|&wanted| wanted).map(|_| 1))
    }

    fn refuse_strategy_without_seeds(&self) -> Result<()> {
        match &self.strategy {
            Some(strategy) if self.seed_count().is_none() => Err(Error::new(
                strategy.span(),
                "`strategy` says how the seeds choose, and there are none: add `seeds = 200`",
            )),
            _ => Ok(()),
        }
    }

    fn read_options(
        &mut self,
        entry: Entry,
        input: ParseStream,
        errors: &mut Errors,
    ) -> Result<()> {
        let mut seen: Vec<String> = Vec::new();
        while !input.is_empty() {
            let Ok(key) = input.call(Ident::parse_any) else {
                return Err(input.error(entry.accepts()));
            };
            let flag = entry == Entry::Test && key == "virtual_time";
            if !input.peek(Token![=]) && !flag {
                return Err(Error::new(
                    key.span(),
                    format!("`{key}` stands without a value: {}", entry.accepts()),
                ));
            }
            let name = key.to_string();
            if seen.contains(&name) {
                errors.push(Error::new(key.span(), format!("`{key}` is given more than once")));
            }
            if input.parse::<Option<Token![=]>>()?.is_some() {
                self.read_value(entry, &key, input, errors)?;
            } else {
                self.virtual_time = Some(true);
            }
            seen.push(name);
            if !input.is_empty() && !input.peek(Token![,]) {
                return Err(input.error("expected `,` between two options"));
            }
            input.parse::<Option<Token![,]>>()?;
        }
        Ok(())
    }

    /// Reads one value. An `Err` says that the place of the next option is unknown; a value that is
    /// merely wrong goes into `errors`.
    fn read_value(
        &mut self,
        entry: Entry,
        key: &Ident,
        input: ParseStream,
        errors: &mut Errors,
    ) -> Result<()> {
        if key == "crate" {
            let Ok(path) = input.call(Path::parse_mod_style) else {
                return Err(
                    input.error("`crate` accepts the path of sylvan, as in `crate = green`")
                );
            };
            self.krate = Some(path);
            return Ok(());
        }
        let value: Expr = input.parse()?;
        let value = ungrouped(&value);
        if key == "mapping" {
            self.mappings = errors.note(mappings(entry, value)).unwrap_or_default();
        } else if key == "workers" {
            self.workers = errors.note(workers(value));
        } else if key == "stack_size" {
            self.stack_size_bytes = errors.note(stack_size_bytes(value));
        } else if entry == Entry::Test && key == "seeds" {
            self.seeds = errors.note(seeds(value));
        } else if entry == Entry::Test && key == "strategy" {
            self.strategy = errors.note(strategy(value));
        } else if entry == Entry::Test && key == "virtual_time" {
            self.virtual_time = errors.note(truth(value));
        } else {
            errors.push(Error::new(
                key.span(),
                format!("there is no option `{key}`: {}", entry.accepts()),
            ));
        }
        Ok(())
    }
}

/// The errors found so far, so that one build shows all of them.
#[derive(Default)]
pub(super) struct Errors(Option<Error>);

impl Errors {
    /// Adds one more.
    pub(super) fn push(&mut self, error: Error) {
        match &mut self.0 {
            Some(first) => first.combine(error),
            None => self.0 = Some(error),
        }
    }

    /// Keeps the error of `result`, gives its value.
    pub(super) fn note<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.push(error)).ok()
    }

    /// Gives `value` if there was no error.
    pub(super) fn into_result<T>(self, value: T) -> Result<T> {
        self.0.map_or(Ok(value), Err)
    }

    /// One `compile_error!` for each, or nothing.
    pub(super) fn into_tokens(self) -> TokenStream {
        self.0.map(Error::into_compile_error).unwrap_or_default()
    }
}

/// Reads a stack size that is written as a literal: a positive integer, or a string such as `"1M"`.
///
/// Zero is refused here, for no machine can give it. Sizes that some machine might refuse are the
/// runtime's to judge.
pub(super) fn stack_size_bytes(value: &Expr) -> Result<u64> {
    let bytes = match literal(value) {
        Some(Lit::Int(number)) => whole_number(number),
        Some(Lit::Str(text)) => bytes_with_suffix(text),
        _ => None,
    };
    bytes.filter(|&bytes| bytes > 0).ok_or_else(|| {
        Error::new_spanned(
            value,
            "`stack_size` accepts a positive number of bytes, as in `1048576`, or a string with \
             the suffix K or M, as in `\"1M\"`",
        )
    })
}

/// Sees through the invisible groups that a `macro_rules!` fragment such as `$e:expr` leaves.
pub(super) fn ungrouped(mut expr: &Expr) -> &Expr {
    while let Expr::Group(group) = expr {
        expr = &group.expr;
    }
    expr
}

fn mappings(entry: Entry, value: &Expr) -> Result<Vec<&'static str>> {
    let Expr::Array(list) = value else {
        return mapping(entry, value).map(|mapping| vec![mapping]);
    };
    if entry == Entry::Main {
        return Err(Error::new_spanned(
            list,
            "`#[sylvan::main]` runs its body once and accepts one mapping: `\"1:1\"`, `\"n:1\"` or \
             `\"m:n\"`; a list is for `#[sylvan::test]`",
        ));
    }
    if list.elems.is_empty() {
        return Err(Error::new_spanned(
            list,
            "an empty list would run nothing: name one or more of `\"1:1\"`, `\"n:1\"` and \
             `\"m:n\"`, or leave `mapping` out",
        ));
    }
    let mut mappings = Vec::new();
    for element in &list.elems {
        let mapping = mapping(entry, ungrouped(element))?;
        if mappings.contains(&mapping) {
            return Err(Error::new_spanned(
                element,
                format!("`\"{mapping}\"` is in the list already: each mapping runs once"),
            ));
        }
        mappings.push(mapping);
    }
    Ok(mappings)
}

fn mapping(entry: Entry, value: &Expr) -> Result<&'static str> {
    let known = string(value)
        .map(LitStr::value)
        .and_then(|text| MAPPINGS.into_iter().find(|mapping| mapping.eq_ignore_ascii_case(&text)));
    known.ok_or_else(|| {
        let list = match entry {
            Entry::Main => "",
            Entry::Test => ", or a list of them in brackets",
        };
        Error::new_spanned(
            value,
            format!("`mapping` accepts `\"1:1\"`, `\"n:1\"` or `\"m:n\"`{list}"),
        )
    })
}

fn workers(value: &Expr) -> Result<u64> {
    integer(value).filter(|number| (1..=WORKERS_MAX).contains(number)).ok_or_else(|| {
        Error::new_spanned(
            value,
            format!("`workers` accepts a whole number from 1 to {WORKERS_MAX}, as in `4`"),
        )
    })
}

fn seeds(value: &Expr) -> Result<u64> {
    integer(value).filter(|number| (1..=SEEDS_MAX).contains(number)).ok_or_else(|| {
        Error::new_spanned(
            value,
            format!(
                "`seeds` accepts a whole number from 1 to {SEEDS_MAX}, as in `200`: the body runs \
                 once under each seed from 0 on"
            ),
        )
    })
}

fn strategy(value: &Expr) -> Result<LitStr> {
    let known = string(value).cloned().filter(|text| {
        let text = text.value().to_ascii_lowercase();
        let depth = text.strip_prefix("pct:").and_then(|depth| depth.parse::<u32>().ok());
        text == "random" || text == "pct" || depth.is_some_and(|depth| (1..=64).contains(&depth))
    });
    known.ok_or_else(|| {
        Error::new_spanned(
            value,
            "`strategy` accepts `\"random\"`, `\"pct\"`, or `\"pct:1\"` to `\"pct:64\"`",
        )
    })
}

fn truth(value: &Expr) -> Result<bool> {
    match literal(value) {
        Some(Lit::Bool(truth)) => Ok(truth.value),
        _ => Err(Error::new_spanned(
            value,
            "`virtual_time` stands alone, or accepts `true` or `false`",
        )),
    }
}

fn literal(value: &Expr) -> Option<&Lit> {
    match value {
        Expr::Lit(literal) => Some(&literal.lit),
        _ => None,
    }
}

fn string(value: &Expr) -> Option<&LitStr> {
    match literal(value)? {
        Lit::Str(text) => Some(text),
        _ => None,
    }
}

fn integer(value: &Expr) -> Option<u64> {
    match literal(value)? {
        Lit::Int(number) => whole_number(number),
        _ => None,
    }
}

/// `4` and `4usize`, but not `4u8`: the runtime's fields are of type `usize`.
fn whole_number(number: &LitInt) -> Option<u64> {
    matches!(number.suffix(), "" | "usize").then(|| number.base10_parse().ok()).flatten()
}

/// Follows `SYLVAN_STACK_SIZE`: digits, then nothing, K or M.
fn bytes_with_suffix(text: &LitStr) -> Option<u64> {
    let text = text.value();
    let (digits, unit_bytes) = match text.as_bytes().last()? {
        b'K' | b'k' => (&text[..text.len() - 1], 1 << 10),
        b'M' | b'm' => (&text[..text.len() - 1], 1 << 20),
        _ => (text.as_str(), 1),
    };
    // `u64::from_str` would take a leading plus sign as well.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(unit_bytes)
}

/// The spellings that the runtime's own parser accepts, in the one case that we hand over.
const MAPPINGS: [&str; 3] = ["1:1", "n:1", "m:n"];

/// The bound of `SYLVAN_WORKERS`; the runtime holds the same.
const WORKERS_MAX: u64 = 1024;

/// At 50 µs a run, the shortest, it would take half a day.
const SEEDS_MAX: u64 = 1_000_000_000;
