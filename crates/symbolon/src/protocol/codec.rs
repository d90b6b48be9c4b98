//! How messages become bytes, and bytes messages: one encoding for each.

use minicbor::{Decode, Encode};

use super::{Ids, MAX_ITEMS, MAX_MESSAGE, Refusal, RefusalCode, VERSION};

/// Encodes a message of a session.
pub(crate) fn encode<T: Encode<()>>(message: &T) -> Vec<u8> {
    let mut out = vec![VERSION];
    // Writing to a vector cannot fail, and no type here refuses to be encoded.
    let _: Result<(), _> = minicbor::encode(message, &mut out);
    out
}

/// Decodes a message of a session: this version, nothing behind it, and canonical.
///
/// # Errors
/// [`Refusal`] with [`RefusalCode::Malformed`].
pub(crate) fn decode<T: Encode<()> + for<'b> Decode<'b, ()>>(bytes: &[u8]) -> Result<T, Refusal> {
    let malformed = |why| Refusal::new(RefusalCode::Malformed, why);
    if bytes.len() > MAX_MESSAGE {
        return Err(malformed("message exceeds the limit of the protocol"));
    }
    let Some((&VERSION, body)) = bytes.split_first() else {
        return Err(malformed("message is of another version of the protocol"));
    };
    let message: T = minicbor::decode(body).map_err(|_| malformed("message does not follow the protocol"))?;
    if encode(&message) != bytes {
        return Err(malformed("message is not in its canonical encoding"));
    }
    Ok(message)
}

/// An [`Id`] as a text string.
pub(super) mod id {
    use minicbor::decode::{Decoder, Error};
    use minicbor::encode::{self, Encoder, Write};
    use symbolon_keys::Id;

    pub(in super::super) fn encode<C, W: Write>(
        id: &Id,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.str(id.as_str())?;
        Ok(())
    }

    pub(in super::super) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Id, Error> {
        d.str()?.parse().map_err(|_| Error::message("not an id"))
    }
}

impl<C> Encode<C> for Ids {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(u64::try_from(self.0.len()).unwrap_or(u64::MAX))?;
        self.0.iter().try_for_each(|one| id::encode(one, e, ctx))
    }
}

impl<'b, C> Decode<'b, C> for Ids {
    fn decode(d: &mut minicbor::Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        let len = d.array()?.and_then(|len| usize::try_from(len).ok());
        match len {
            Some(len) if len <= MAX_ITEMS => {
                (0..len).map(|_| id::decode(d, ctx)).collect::<Result<_, _>>().map(Ids)
            }
            _ => Err(minicbor::decode::Error::message("too many ids")),
        }
    }
}
