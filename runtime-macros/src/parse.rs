//! Reads what the user wrote into small models, and refuses wrong use where it stands.
//!
//! Every refusal says what is accepted, and its span is the smallest piece that is wrong. Bodies of
//! functions are not parsed but passed on as tokens: the compiler reports their errors better than
//! we could, and an editor can complete a half-written line.
//!
//! What this file must never do: decide what the tokens become (that is `expand`), or refuse what
//! the compiler itself reports well, such as types that do not fit.
#![forbid(unsafe_code)]

use proc_macro2::{Group, Span, TokenStream};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{
    Attribute, Error, Expr, Ident, Lit, Result, ReturnType, Safety, Signature, Token, UnOp,
    Visibility, parenthesized,
};

use crate::args::{Entry, Errors, stack_size_bytes, ungrouped};

/// `go!(options, body)`.
pub(super) struct Go {
    pub(super) krate: TokenStream,
    /// In the order in which they were written, which is the order in which they are evaluated.
    pub(super) options: Vec<GoOption>,
    pub(super) body: GoBody,
}

/// One option of `go!`.
pub(super) enum GoOption {
    Name(Expr),
    StackSize(Expr),
    /// A size such as `"256K"`, already turned into bytes.
    StackSizeBytes(u64, Span),
}

/// What the new thread does.
pub(super) enum GoBody {
    /// A closure literal or a path: the thread calls it.
    Call(Expr),
    /// Anything else: the thread evaluates it.
    Evaluate(Expr),
}

impl Parse for Go {
    fn parse(input: ParseStream) -> Result<Self> {
        let krate = crate_path(input)?;
        let mut options = Vec::new();
        let mut seen: Vec<String> = Vec::new();
        while at_option(input) {
            let key = input.call(Ident::parse_any)?;
            if seen.iter().any(|name| key == name) {
                return Err(Error::new(key.span(), format!("`{key}` is given more than once")));
            }
            options.push(go_option(&key, input)?);
            seen.push(key.to_string());
            if !input.is_empty() && !input.peek(Token![,]) {
                return Err(input.error("expected `,` after an option of `go!`"));
            }
            input.parse::<Option<Token![,]>>()?;
        }
        if input.is_empty() {
            return Err(Error::new(
                Span::call_site(),
                format!("there is nothing to run: {GO_ACCEPTS}"),
            ));
        }
        let body = go_body(input.parse()?)?;
        nothing_follows(input)?;
        Ok(Go { krate, options, body })
    }
}

/// `join!(arm, arm, …)`.
pub(super) struct Join {
    pub(super) krate: TokenStream,
    /// One or more.
    pub(super) arms: Vec<Expr>,
}

impl Parse for Join {
    fn parse(input: ParseStream) -> Result<Self> {
        let krate = crate_path(input)?;
        if input.is_empty() {
            return Err(Error::new(
                Span::call_site(),
                "there is nothing to run: `join!` accepts one or more expressions, separated by \
                 commas, as in `join!(left(), right())`",
            ));
        }
        let mut arms = Vec::new();
        while !input.is_empty() {
            let arm: Expr = input.parse()?;
            if let Expr::Closure(closure) = ungrouped(&arm) {
                return Err(Error::new_spanned(
                    closure,
                    "`join!` evaluates its arms and would not call this closure: write its body as \
                     the arm, or hand closures to the function `join(a, b)`",
                ));
            }
            arms.push(arm);
            if input.peek(Token![;]) {
                return Err(input.error(
                    "an arm of `join!` is one expression: put statements into a block, as in \
                     `join!({ first(); second() }, other())`",
                ));
            }
            if !input.is_empty() && !input.peek(Token![,]) {
                return Err(input.error("expected `,` between two arms of `join!`"));
            }
            input.parse::<Option<Token![,]>>()?;
        }
        Ok(Join { krate, arms })
    }
}

/// The function under `#[sylvan::main]` or `#[sylvan::test]`.
pub(super) struct EntryFn {
    pub(super) attrs: Vec<Attribute>,
    pub(super) vis: Visibility,
    pub(super) ident: Ident,
    pub(super) output: ReturnType,
    pub(super) body: Group,
    /// Whether a `#[should_panic]` is among the attributes.
    pub(super) should_panic: bool,
}

impl EntryFn {
    /// Reads the item. What is a function, but not one that can be an entry, gives all its errors.
    pub(super) fn read(entry: Entry, tokens: TokenStream) -> Result<EntryFn> {
        let function: AnyFn = syn::parse2(tokens).map_err(|error| {
            Error::new(error.span(), format!("{}: {error}", entry_accepts(entry)))
        })?;
        let AnyFn { attrs, vis, signature, body } = function;
        let should_panic = attrs.iter().any(|attr| attr.path().is_ident("should_panic"));
        let mut errors = Errors::default();
        refuse_signature(entry, &signature, &mut errors);
        if entry == Entry::Test {
            refuse_second_test(&attrs, &mut errors);
            if should_panic && !returns_unit(&signature.output) {
                errors.push(Error::new_spanned(
                    &signature.output,
                    "a test with `#[should_panic]` returns `()`: an error is not a panic",
                ));
            }
        }
        let Signature { ident, output, .. } = signature;
        errors.into_result(EntryFn { attrs, vis, ident, output, body, should_panic })
    }
}

/// A function of which only the head is parsed.
struct AnyFn {
    attrs: Vec<Attribute>,
    vis: Visibility,
    signature: Signature,
    body: Group,
}

impl Parse for AnyFn {
    fn parse(input: ParseStream) -> Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        let vis = input.parse()?;
        let signature = input.parse()?;
        let body = input.parse()?;
        Ok(AnyFn { attrs, vis, signature, body })
    }
}

fn refuse_signature(entry: Entry, signature: &Signature, errors: &mut Errors) {
    let accepts = entry_accepts(entry);
    let mut refuse = |wrong: &dyn ToTokens, what: &str| {
        errors.push(Error::new_spanned(wrong, format!("{what}: {accepts}")));
    };
    if entry == Entry::Main && signature.ident != "main" {
        refuse(&signature.ident, "this function is not called `main`");
    }
    if let Some(keyword) = &signature.constness {
        refuse(keyword, "a `const fn` starts no threads");
    }
    if let Some(keyword) = &signature.asyncness {
        refuse(keyword, "green threads wait in plain calls, without `async` and `.await`");
    }
    match &signature.safety {
        Safety::Default => {}
        Safety::Safe(keyword) => refuse(keyword, "`safe` belongs to foreign functions"),
        Safety::Unsafe(keyword) => refuse(keyword, "nobody could keep its safety contract"),
    }
    if let Some(abi) = &signature.abi {
        refuse(abi, "the caller is Rust");
    }
    if !signature.generics.params.is_empty() {
        refuse(&signature.generics.params, "nobody could choose its generic parameters");
    }
    if let Some(clause) = &signature.generics.where_clause {
        refuse(clause, "there is nothing to bound");
    }
    if !signature.inputs.is_empty() {
        refuse(&signature.inputs, "nobody could pass its arguments");
    }
    if let Some(variadic) = &signature.variadic {
        refuse(variadic, "nobody could pass its arguments");
    }
}

/// A second `#[test]` would register the function that starts the runtime twice.
fn refuse_second_test(attrs: &[Attribute], errors: &mut Errors) {
    for attr in attrs {
        let last = attr.path().segments.last();
        if last.is_some_and(|segment| segment.ident == "test") {
            errors.push(Error::new_spanned(
                attr,
                "`#[sylvan::test]` makes the function a test already: remove this attribute",
            ));
        }
    }
}

fn returns_unit(output: &ReturnType) -> bool {
    match output {
        ReturnType::Default => true,
        ReturnType::Type(_, ty) => {
            matches!(&**ty, syn::Type::Tuple(tuple) if tuple.elems.is_empty())
        }
    }
}

fn entry_accepts(entry: Entry) -> String {
    let name = match entry {
        Entry::Main => "main",
        Entry::Test => "name",
    };
    format!(
        "`{}` accepts `fn {name}()` or `fn {name}() -> T` where `T: Termination`",
        entry.attribute()
    )
}

/// The path of the library, which the `macro_rules!` wrapper puts first in parentheses.
fn crate_path(input: ParseStream) -> Result<TokenStream> {
    let path;
    parenthesized!(path in input);
    path.parse()
}

/// Tells `name = …` from an expression that begins with a name, such as `name == other`.
fn at_option(input: ParseStream) -> bool {
    input.peek(Ident::peek_any)
        && input.peek2(Token![=])
        && !input.peek2(Token![==])
        && !input.peek2(Token![=>])
}

fn go_option(key: &Ident, input: ParseStream) -> Result<GoOption> {
    let known = key == "name" || key == "stack_size";
    if !known {
        return Err(Error::new(
            key.span(),
            format!(
                "there is no option `{key}`: `go!` accepts `name = …` and `stack_size = …`; an \
                 assignment to run in the new thread stands in a block"
            ),
        ));
    }
    input.parse::<Token![=]>()?;
    if input.is_empty() || input.peek(Token![,]) {
        return Err(Error::new(key.span(), format!("`{key}` stands without a value")));
    }
    let value: Expr = input.parse()?;
    if key == "name" {
        return Ok(GoOption::Name(value));
    }
    // A literal is checked now; any other expression only the program can judge, when it runs.
    let literal = ungrouped(&value);
    match literal {
        Expr::Lit(lit) => {
            let bytes = stack_size_bytes(literal)?;
            Ok(match lit.lit {
                Lit::Str(_) => GoOption::StackSizeBytes(bytes, literal.span()),
                _ => GoOption::StackSize(value),
            })
        }
        _ => Ok(GoOption::StackSize(value)),
    }
}

fn go_body(expr: Expr) -> Result<GoBody> {
    match bare(&expr) {
        Expr::Closure(closure) => {
            if let Some(keyword) = &closure.asyncness {
                return Err(Error::new(keyword.span(), ASYNC_BODY));
            }
            if !closure.inputs.is_empty() {
                return Err(Error::new_spanned(
                    &closure.inputs,
                    "the new thread calls this closure without arguments: write `|| …`, or \
                     `move || …` to take what it uses along",
                ));
            }
            Ok(GoBody::Call(expr))
        }
        Expr::Path(_) => Ok(GoBody::Call(expr)),
        Expr::Async(block) => Err(Error::new(block.async_token.span(), ASYNC_BODY)),
        literal if is_literal(literal) => {
            Err(Error::new_spanned(literal, format!("a literal is nothing to run: {GO_ACCEPTS}")))
        }
        _ => Ok(GoBody::Evaluate(expr)),
    }
}

/// Sees through parentheses, which change nothing: `go!((work))` calls `work` as `go!(work)` does.
fn bare(mut expr: &Expr) -> &Expr {
    loop {
        expr = match expr {
            Expr::Group(group) => &group.expr,
            Expr::Paren(paren) => &paren.expr,
            _ => return expr,
        };
    }
}

/// `5`, `"five"`, `true`, and `-5`, which is a literal to everybody but the grammar.
fn is_literal(expr: &Expr) -> bool {
    match expr {
        Expr::Lit(_) => true,
        Expr::Unary(unary) => {
            matches!(unary.op, UnOp::Neg(_)) && matches!(bare(&unary.expr), Expr::Lit(_))
        }
        _ => false,
    }
}

/// The body comes last; says what was probably meant where something stands behind it.
fn nothing_follows(input: ParseStream) -> Result<()> {
    if input.peek(Token![;]) {
        return Err(input.error(
            "`go!` runs one expression: put statements into a block, as in \
             `go!({ first(); second() })`",
        ));
    }
    input.parse::<Option<Token![,]>>()?;
    if input.is_empty() {
        return Ok(());
    }
    if at_option(input) {
        return Err(input.error("the options of `go!` come before what the thread runs"));
    }
    Err(input.error(format!("one thread runs one thing: {GO_ACCEPTS}")))
}

const GO_ACCEPTS: &str = "`go!` accepts a closure without parameters or the path of a function, \
    which the new thread calls, or a block or another expression, which it evaluates; the options \
    `name = …` and `stack_size = …` come first";

const ASYNC_BODY: &str = "nobody would poll this future: green threads wait in plain calls, so \
    write `|| …` or a plain block";
