/// Declares a type for one kind of random 16-byte identifier: so that a pad's id never stands where a record's should.
///
/// ```
/// symbolon_keys::random_id! {
///     /// Names a ticket.
///     pub struct TicketId;
/// }
/// let id = TicketId::from([7; 16]);
/// assert_eq!(id.to_string(), "07".repeat(16));
/// assert_eq!("07".repeat(16).parse::<TicketId>(), Ok(id));
/// ```
#[macro_export]
macro_rules! random_id {
    ($($(#[$meta:meta])+ $vis:vis struct $name:ident;)+) => {$(
        $(#[$meta])+
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis struct $name([u8; 16]);

        impl $name {
            /// A new random one.
            $vis fn generate<R: $crate::__private::CryptoRng + ?Sized>(rng: &mut R) -> Self {
                let mut bytes = [0; 16];
                rng.fill_bytes(&mut bytes);
                Self(bytes)
            }

            /// The one of these 16 bytes.
            #[must_use]
            $vis const fn new(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// Its 16 bytes.
            #[must_use]
            $vis const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl From<[u8; 16]> for $name {
            fn from(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
        }

        impl ::core::str::FromStr for $name {
            type Err = $crate::wire::Malformed;

            fn from_str(text: &str) -> ::core::result::Result<Self, Self::Err> {
                $crate::__private::from_hex(text).map(Self)
            }
        }

        impl ::core::fmt::Display for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                self.0.iter().try_for_each(|byte| ::core::write!(f, "{byte:02x}"))
            }
        }

        impl ::core::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    )+};
}

/// Thirty-two lower-case hexadecimal digits.
///
/// # Errors
/// [`Malformed`](crate::wire::Malformed) if the text is anything else.
pub fn from_hex(text: &str) -> Result<[u8; 16], crate::wire::Malformed> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte.wrapping_sub(b'0')),
        b'a'..=b'f' => Ok(byte.wrapping_sub(b'a').wrapping_add(10)),
        _ => Err(crate::wire::Malformed),
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != 16 || !rest.is_empty() {
        return Err(crate::wire::Malformed);
    }
    let mut bytes = [0; 16];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Ok(bytes)
}
